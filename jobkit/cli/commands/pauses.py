"""`jobkit pause`, `jobkit resume` and `jobkit pauses`: what is not to be begun for now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile
from jobkit.errors import ConfigurationError, JobkitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobkit.cli.session import CommandSession
    from jobkit.model.pause import Pause, Scope
    from jobkit.ports.planes import Planes

Type = Annotated[str, typer.Argument(help="The job type.")]
InPartition = Annotated[int | None, typer.Option("--partition", min=0, help="Only this partition of the type.")]
OfKey = Annotated[str | None, typer.Option("--key", help="Only this key of the type.")]


def pause(
    context: typer.Context,
    type: Type,
    partition: InPartition = None,
    key: OfKey = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; everybody who looks is told.")] = "",
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Have no more jobs begun until `jobkit resume`. What runs goes on, and nothing is lost."""
    from jobkit.cli.session import CommandSession
    from jobkit.cli.tables import pause_text
    from jobkit.model.ids import user_at_host
    from jobkit.ops.views import pause_view

    session = CommandSession.begin(context, env_file, as_json=as_json)
    scope = _scope(type, partition, key)

    async def do(planes: Planes) -> Pause:
        await _refuse_beyond(session, planes, scope)
        try:
            return await planes.inspection.pause(scope, by=user_at_host(), reason=reason)
        except ValueError as error:
            raise JobkitError(str(error)) from error

    paused = session.call(do)
    if as_json:
        session.out.document(pause_view(paused))
    else:
        session.out.note(f"paused: {pause_text(paused, session.clock.wall())}")


def resume(
    context: typer.Context,
    type: Type,
    partition: InPartition = None,
    key: OfKey = None,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Go on with what was paused, by the same words."""
    from jobkit.cli.session import CommandSession
    from jobkit.cli.tables import pause_text
    from jobkit.ops.views import pause_view

    session = CommandSession.begin(context, env_file, as_json=as_json)
    scope = _scope(type, partition, key)

    async def do(planes: Planes) -> tuple[Pause | None, Sequence[Pause]]:
        return await planes.inspection.resume(scope), await planes.store.pauses()

    resumed, left = session.call(do)
    if resumed is None:
        raise JobkitError(f"{scope} is not paused; `jobkit pauses` lists what is")
    still = [pause for pause in left if pause.scope.type == type]
    if as_json:
        session.out.document({"resumed": pause_view(resumed), "still_paused": [pause_view(pause) for pause in still]})
        return
    now = session.clock.wall()
    session.out.note(f"goes on: {pause_text(resumed, now)}")
    for pause in still:
        session.out.note(f"still paused: {pause_text(pause, now)}")


def pauses(context: typer.Context, as_json: AsJson = False, env_file: EnvFile = None) -> None:
    """List what is paused: by whom, since when, and why."""
    from jobkit.cli.session import CommandSession
    from jobkit.cli.tables import PAUSE_HEADINGS, pause_row
    from jobkit.ops.views import pause_view

    session = CommandSession.begin(context, env_file, as_json=as_json)
    found = session.call(lambda planes: planes.store.pauses())
    if as_json:
        session.out.document([pause_view(pause) for pause in found])
    elif not found:
        session.out.note("nothing is paused")
    else:
        now = session.clock.wall()
        session.out.table(PAUSE_HEADINGS, [pause_row(pause, now) for pause in found], whole="KEY", right="SINCE")


async def _refuse_beyond(session: CommandSession, planes: Planes, scope: Scope) -> None:
    """Raise `ConfigurationError` where the type has no such partition."""
    if scope.partition is not None:
        layouts = await session.layouts(planes.store)
        if scope.partition >= (there := layouts.of(scope.type).partitions):
            raise ConfigurationError(f"--partition {scope.partition}: there are {there}, counted from 0")


def _scope(type: str, partition: int | None, key: str | None) -> Scope:
    from jobkit.model.pause import Scope

    try:
        return Scope(type, partition, key)
    except ValueError as error:
        raise ConfigurationError(f"--partition and --key: {error}") from error
