"""`jobkit cancel`: jobs that nobody wants any more, by id or all of a type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile, Yes
from jobkit.errors import ConfigurationError, JobkitError
from jobkit.model.job_filter import JobFilter
from jobkit.model.job_state import UNFINISHED, JobState

if TYPE_CHECKING:
    from jobkit.cli.session import CommandSession
    from jobkit.ports.inspection import Cancellation


def cancel(
    context: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Which jobs.")] = None,
    type: Annotated[str | None, typer.Option("--type", help="All jobs of this type that have yet to end.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="With --type: only those of this key.")] = None,
    state: Annotated[
        JobState | None, typer.Option("--state", help="With --type: only those in this state, which must be no end.")
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", metavar="ID", help="What is left of the group that this job closes.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept with the job.")] = "",
    yes: Yes = False,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """End jobs that have yet to end. A cancelled job never commits; an ordered key goes on behind it."""
    from jobkit.cli.session import CommandSession

    session = CommandSession.begin(context, env_file, as_json=as_json)
    if (bool(ids), type is not None, group is not None).count(True) != 1:
        raise ConfigurationError("name jobs by id, or all of a type by --type, or those of a group by --group")
    if type is None and (key, state) != (None, None):
        raise ConfigurationError("--key and --state go with --type")
    if state is not None and state.ended:
        raise ConfigurationError(f"--state {state.value}: what has ended cannot be cancelled")
    if group is not None:
        _cancel_group(session, group, reason, yes=yes)
    elif type is not None:
        _cancel_all(session, type, key, UNFINISHED if state is None else (state,), reason, yes=yes)
    else:
        _cancel_named(session, list(dict.fromkeys(ids or ())), reason, yes=yes)


def _cancel_named(session: CommandSession, ids: list[str], reason: str, *, yes: bool) -> None:
    from jobkit.cli.session import confirm
    from jobkit.model.ids import user_at_host
    from jobkit.ops.views import cancellation_view

    confirm(f"Cancel {ids[0] if len(ids) == 1 else _jobs(len(ids))} for good?", yes=yes)
    answers = session.ask(lambda plane: plane.inspection.cancel(ids, by=user_at_host(), reason=reason))
    if session.out.as_json:
        session.out.document([cancellation_view(answer) for answer in answers])
    else:
        for answer in answers:
            session.out.note(_told(answer))
    if left := [answer for answer in answers if answer.state is not JobState.CANCELLED]:
        raise JobkitError(f"{_jobs(len(left))} not cancelled: {', '.join(answer.id for answer in left)}")


def _cancel_group(session: CommandSession, id: str, reason: str, *, yes: bool) -> None:
    from jobkit.cli.session import confirm
    from jobkit.client import job_groups
    from jobkit.model.ids import user_at_host
    from jobkit.ports.planes import StorePlane

    group = session.ask(lambda plane: job_groups.found_group(plane.store, id))
    confirm(f"Cancel what is left of group {id}, {_jobs(group.unended)} and those of groups within?", yes=yes)

    async def cancel(plane: StorePlane) -> int:
        return await job_groups.cancel(plane.store, plane.inspection, id, by=user_at_host(), reason=reason)

    # However many there are, each page is one call of its own.
    cancelled = session.ask(cancel, limit=None)
    if session.out.as_json:
        session.out.document({"group": id, "cancelled": cancelled})
    else:
        session.out.note(f"{_jobs(cancelled)} cancelled")


def _cancel_all(
    session: CommandSession, type: str, key: str | None, states: tuple[JobState, ...], reason: str, *, yes: bool
) -> None:
    from jobkit.cli.session import confirm
    from jobkit.client import matching
    from jobkit.client.known_scopes import check_type
    from jobkit.model.ids import user_at_host
    from jobkit.ports.planes import StorePlane

    async def count(plane: StorePlane) -> tuple[int, int]:
        upto = await plane.store.horizon()
        found = await matching.count(plane.inspection, JobFilter(type, key), states, upto=upto)
        if not found:
            await check_type(plane.inspection, session.registry, type)
        return upto, found

    # However many there are, each page is one call of its own.
    upto, found = session.ask(count, limit=None)
    if found:
        confirm(f"Cancel {_jobs(found)} of {type if key is None else f'{type}/{key}'} for good?", yes=yes)

    async def cancel(plane: StorePlane) -> int:
        pages = matching.cancel(
            plane.inspection, JobFilter(type, key), states, upto=upto, by=user_at_host(), reason=reason
        )
        return sum([cancelled async for cancelled in pages])

    cancelled = session.ask(cancel, limit=None) if found else 0
    if session.out.as_json:
        session.out.document({"type": type, "key": key, "cancelled": cancelled})
    else:
        session.out.note(f"{_jobs(cancelled)} cancelled")


def _told(answer: Cancellation) -> str:
    match answer.state:
        case JobState.CANCELLED:
            return f"{answer.id} is cancelled" if answer.cancelled else f"{answer.id} was cancelled before"
        case JobState.COMMITTED:
            return f"{answer.id} has committed already; look with: jobkit status {answer.id}"
        case None:
            return f"{answer.id} is not known: it was never submitted here, or was forgotten after its retention"
        case state:
            return f"{answer.id} is {state.value} already"


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"
