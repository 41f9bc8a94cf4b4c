"""`jobkit topology`: what jobkit needs on a RabbitMQ server, and what of it is there.

Workers and submitters make what they need by themselves. This is for looking at what there is, and for having it all
there beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile

if TYPE_CHECKING:
    from jobkit.cli.session import CommandSession
    from jobkit.ports.topology import TopologyAdmin, TopologyPart


def topology(
    context: typer.Context,
    types: Annotated[
        list[str] | None, typer.Argument(metavar="[TYPE]...", help="The job types. Default: all there are.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Make what is missing; nothing is ever taken away.")] = False,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Show the exchanges and queues that job types need on RabbitMQ; exit 1 where one is missing or different."""
    import anyio

    from jobkit.cli.session import CommandSession

    session = CommandSession.begin(context, env_file, as_json=as_json)
    registry = session.registry()
    wanted = types or registry.kept()
    for type in wanted:
        registry.kept_as(type)
    found = anyio.run(_look, session, {type: registry.knows_priorities(type) for type in wanted}, apply)
    if as_json:
        from jobkit.ops.views import topology_part_view

        session.out.document([topology_part_view(one) for one in found])
    elif found:
        rows = [(one.kind, one.name, one.state.value, str(one.messages), one.problem or _listed(one)) for one in found]
        session.out.table(("KIND", "NAME", "STATE", "READY", "ARGUMENTS"), rows, whole="NAME", right="READY")
    else:
        session.out.note("no job types are installed, and JOBKIT_PLUGINS names none")
    if any(one.state.value != "there" for one in found):
        if not as_json:
            session.out.note("`jobkit topology --apply` makes what is missing")
        raise typer.Exit(1)


async def _look(session: CommandSession, types: Mapping[str, bool], apply: bool) -> list[TopologyPart]:
    """Look at types, each with whether it has bands."""
    from jobkit.cli.session import within

    topology = _topology(session)
    partitions = session.settings.partitions
    found: list[TopologyPart] = []
    with within():
        try:
            for type, bands in types.items():
                if apply:
                    await topology.complete(type, partitions, bands=bands)
                found += await topology.look(type, partitions, bands=bands)
        finally:
            await topology.aclose()
    return found


def _topology(session: CommandSession) -> TopologyAdmin:
    """Return the broker's topology. Raises `ConfigurationError` where it has none."""
    from jobkit.backends.registry import topology_of
    from jobkit.errors import ConfigurationError

    topology = topology_of(session.settings, session.clock)
    if topology is None:
        raise ConfigurationError("JOBKIT_BROKER_URL: only RabbitMQ (amqp:, amqps:) has a topology; nothing to do here")
    return topology


def _listed(found: TopologyPart) -> str:
    return ", ".join(f"{name.removeprefix('x-')}={value}" for name, value in found.arguments.items())
