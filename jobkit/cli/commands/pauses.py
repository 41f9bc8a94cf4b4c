"""`jobkit pause`, `jobkit resume` and `jobkit pauses`: what is not to be begun for now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile
from jobkit.errors import ConfigurationError, JobkitError, KeyNotFound, UnknownType

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
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Also a type or key of which no worker and no job is known yet.")
    ] = False,
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
        await _check(session, planes, scope, unseen=unseen)
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
    from jobkit.model.spelling import did_you_mean
    from jobkit.ops.views import pause_view

    session = CommandSession.begin(context, env_file, as_json=as_json)
    scope = _scope(type, partition, key)

    async def do(planes: Planes) -> tuple[Pause | None, Sequence[Pause]]:
        return await planes.inspection.resume(scope), await planes.store.pauses()

    resumed, left = session.call(do)
    if resumed is None:
        hint = did_you_mean(str(scope), [str(pause.scope) for pause in left])
        raise JobkitError(f"{scope} is not paused; `jobkit pauses` lists what is{hint}")
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


async def _check(session: CommandSession, planes: Planes, scope: Scope, *, unseen: bool) -> None:
    """Raise `UnknownType`, `KeyNotFound` or `ConfigurationError` where there is nothing like that to be paused."""
    from jobkit.client.known_scopes import check_scope

    try:
        await check_scope(
            planes.inspection, session.registry, await session.layouts(planes.store), scope, unseen=unseen
        )
    except (UnknownType, KeyNotFound) as error:
        if unseen:
            raise
        raise error.__class__(f"{error}; --unseen pauses it before it comes") from error


def _scope(type: str, partition: int | None, key: str | None) -> Scope:
    from jobkit.model.pause import Scope

    try:
        return Scope(type, partition, key)
    except ValueError as error:
        raise ConfigurationError(f"--partition and --key: {error}") from error
