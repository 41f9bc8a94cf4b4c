"""`jobkit priority`: jobs that wait are begun sooner, or later, than others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile, Yes
from jobkit.errors import ConfigurationError, JobkitError
from jobkit.model.job_state import JobState
from jobkit.model.priority import Priority

if TYPE_CHECKING:
    from jobkit.cli.session import CommandSession
    from jobkit.client import Client
    from jobkit.ports.inspection import PriorityChange
    from jobkit.ports.planes import Planes


def priority(
    context: typer.Context,
    to: Annotated[Priority, typer.Option("--to", help="The priority that they are to have.")],
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Which jobs.")] = None,
    type: Annotated[str | None, typer.Option("--type", help="All jobs of this type that wait.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="With --type: only those of this key.")] = None,
    yes: Yes = False,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Change the priority of jobs that wait, of a type that knows priorities."""
    from jobkit.cli.session import CommandSession

    session = CommandSession.begin(context, env_file, as_json=as_json)
    if bool(ids) == (type is not None):
        raise ConfigurationError("name jobs by id, or all of a type by --type")
    if type is None and key is not None:
        raise ConfigurationError("--key goes with --type")
    try:
        if type is not None:
            _change_all(session, type, key, to, yes=yes)
        else:
            _change_named(session, list(dict.fromkeys(ids or ())), to)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _client(session: CommandSession, planes: Planes) -> Client:
    from jobkit.client import Client

    return Client(planes, session.registry(), session.settings, session.clock)


def _change_named(session: CommandSession, ids: list[str], to: Priority) -> None:
    from jobkit.ops.views import priority_view

    answers = session.call(lambda planes: _client(session, planes).reprioritize_many(ids, to))
    if session.out.as_json:
        session.out.document([priority_view(answer) for answer in answers])
    else:
        for answer in answers:
            session.out.note(_told(answer, to))
    if left := [answer.id for answer in answers if answer.priority is not to or answer.state is JobState.RUNNING]:
        raise JobkitError(f"{_jobs(len(left))} not changed: {', '.join(left)}")


def _change_all(session: CommandSession, type: str, key: str | None, to: Priority, *, yes: bool) -> None:
    from jobkit.cli.session import confirm

    session.registry().check_priority(type, to)
    name = type if key is None else f"{type}/{key}"
    confirm(f"Give all jobs of {name} that wait the priority {to}?", yes=yes)
    # However many there are, each page is one call of its own.
    changed = session.call(lambda planes: _client(session, planes).reprioritize_all(type, to, key=key), limit=None)
    if session.out.as_json:
        session.out.document({"type": type, "key": key, "priority": to.value, "changed": changed})
    else:
        session.out.note(f"{_jobs(changed)} of {name} {'has' if changed == 1 else 'have'} the priority {to} now")


def _told(answer: PriorityChange, to: Priority) -> str:
    match answer.state:
        case None:
            return f"{answer.id} is not known: it was never submitted here, or was forgotten after its retention"
        case JobState.RUNNING:
            return f"{answer.id} is running already"
        case state if state.ended:
            return f"{answer.id} is {state.value} already"
    if answer.changed:
        return f"{answer.id} has the priority {to} now"
    if answer.priority is to:
        return f"{answer.id} has the priority {to} already"
    return f"{answer.id} has a place in the order of its key, and so no priority"


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"
