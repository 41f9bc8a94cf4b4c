"""`jobkit topology`: into how many partitions job types are split, what is in them, who leads them; and to change it.

On RabbitMQ also the exchanges and queues that this needs, and what of it is there: workers and submitters make what
they need by themselves, so `--apply` is for having it all there beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile, Yes

if TYPE_CHECKING:
    from jobkit.cli.session import CommandSession
    from jobkit.client.layouts import Layouts
    from jobkit.ops.topology import TypeTopology
    from jobkit.ports.planes import Planes
    from jobkit.ports.topology import TopologyPart

_MOST_PARTITIONS = 1024
_HEADINGS = ("TYPE", "PARTITION", "READY", "DELAYED", "LEADER")
_PART_HEADINGS = ("KIND", "NAME", "STATE", "READY", "ARGUMENTS")
_QUESTION = (
    "Do this? Workers move what waits, which takes them the longer the more it is; what is submitted meanwhile is "
    "accepted, and published after."
)


@dataclass(frozen=True, slots=True)
class _Found:
    types: list[TypeTopology]
    parts: list[TopologyPart] = field(default_factory=list)


def topology(
    context: typer.Context,
    types: Annotated[
        list[str] | None, typer.Argument(metavar="[TYPE]...", help="The job types. Default: all there are.")
    ] = None,
    partitions: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=_MOST_PARTITIONS,
            help="Split the types into so many partitions from now on; workers carry it out while they run.",
        ),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Make what is missing on RabbitMQ; nothing is taken away.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Show the partitions of job types, and change their number; exit 1 where RabbitMQ lacks something of it."""
    from jobkit.cli.session import CommandSession

    session = CommandSession.begin(context, env_file, as_json=as_json)
    registry = session.registry()
    wanted = types or registry.kept()
    for type in wanted:
        registry.kept_as(type)
    with_bands = {type for type in wanted if registry.knows_priorities(type)}
    if partitions is not None:
        _change(session, wanted, partitions, yes=yes)
    found = session.call(lambda planes: _look(session, planes, wanted, with_bands, apply=apply), create=apply)
    _show(session, found)
    if any(part.state.value != "there" for part in found.parts):
        if not as_json:
            session.out.note("`jobkit topology --apply` makes what is missing")
        raise typer.Exit(1)


def _layouts(session: CommandSession, planes: Planes) -> Layouts:
    from jobkit.client.layouts import Layouts

    return Layouts(planes.store, session.settings.partitions, session.clock)


def _change(session: CommandSession, types: Sequence[str], partitions: int, *, yes: bool) -> None:
    from jobkit.cli.session import confirm
    from jobkit.ops.topology import repartition, unlike

    before = session.call(lambda planes: unlike(_layouts(session, planes), types, partitions))
    if not before:
        session.out.note(f"nothing to change: each has {partitions} already")
        return
    for type, number in before.items():
        session.out.note(f"plan: {type}: from {number} to {partitions} partitions")
    confirm(_QUESTION, yes=yes)
    session.call(lambda planes: repartition(_layouts(session, planes), list(before), partitions))


async def _look(
    session: CommandSession, planes: Planes, types: Sequence[str], with_bands: Set[str], *, apply: bool
) -> _Found:
    from jobkit.backends.registry import topology_of
    from jobkit.ops.topology import look

    found = _Found(await look(planes, _layouts(session, planes), types))
    server = topology_of(session.settings, session.clock)
    if server is None:
        return found
    try:
        for one in found.types:
            bands = one.type in with_bands
            if apply:
                await server.complete(one.type, one.layout.made, bands=bands)
            found.parts.extend(await server.look(one.type, one.layout.made, bands=bands))
    finally:
        await server.aclose()
    return found


def _show(session: CommandSession, found: _Found) -> None:
    from jobkit.ops.views import topology_part_view, type_topology_view

    out = session.out
    if out.as_json:
        parts = [topology_part_view(part) for part in found.parts]
        out.document({"types": [type_topology_view(one) for one in found.types], "parts": parts})
        return
    if not found.types:
        out.note("no job types are installed, and JOBKIT_PLUGINS names none")
        return
    rows = [
        (one.type, str(queue.partition.index), _number(queue.ready), _number(queue.delayed), queue.leader or "-")
        for one in found.types
        for queue in one.queues
    ]
    out.table(_HEADINGS, rows, whole="LEADER", right="PARTITION READY DELAYED")
    if found.parts:
        listed = [
            (part.kind, part.name, part.state.value, str(part.messages), part.problem or _arguments(part))
            for part in found.parts
        ]
        out.text("")
        out.table(_PART_HEADINGS, listed, whole="NAME", right="READY")
    out.text("")
    for one in found.types:
        out.text(f"{one.type}: {one.layout.partitions} partitions{_progress(one)}")


def _progress(one: TypeTopology) -> str:
    layout = one.layout
    if layout.next is not None:
        return f", about to be {layout.next}"
    if layout.moving:
        return f", being changed: the jobs of {len(layout.unmoved)} queues are yet to be moved"
    if open_ := len(layout.gathered | layout.opening):
        return f", changed: what waited in the outbox of {open_} partitions is published first"
    if layout.surplus:
        return f", changed: {layout.made - layout.partitions} queues of before are yet to be removed"
    return ""


def _number(count: int | None) -> str:
    return "-" if count is None else str(count)


def _arguments(part: TopologyPart) -> str:
    return ", ".join(f"{name.removeprefix('x-')}={value}" for name, value in part.arguments.items())
