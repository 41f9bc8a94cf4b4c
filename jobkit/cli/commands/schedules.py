"""`jobkit schedules`: jobs that are submitted by the calendar, and steering them while they run."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobkit.cli.options import AsJson, EnvFile, Yes
from jobkit.model.tick_policy import Missed, Overlap

if TYPE_CHECKING:
    from jobkit.cli.session import CommandSession
    from jobkit.client.client import Client
    from jobkit.ports.planes import Planes

app = typer.Typer(no_args_is_help=True, help="Show and steer schedules: jobs that are submitted by the calendar.")

Name = Annotated[str, typer.Argument(help="The schedule.")]


@app.command("list")
def list_(context: typer.Context, as_json: AsJson = False, env_file: EnvFile = None) -> None:
    """List all schedules with their next tick, and the last with what came of it."""
    from jobkit.cli.session import CommandSession
    from jobkit.cli.tables import SCHEDULE_HEADINGS, schedule_row
    from jobkit.ops.views import schedule_view

    session = CommandSession.begin(context, env_file, as_json=as_json)
    found = session.call(lambda planes: _client(session, planes).schedules.list())
    if as_json:
        session.out.document([schedule_view(status) for status in found])
    elif not found:
        session.out.note("there are no schedules")
    else:
        now = session.clock.wall()
        session.out.table(SCHEDULE_HEADINGS, [schedule_row(status, now) for status in found], whole="NAME")


@app.command()
def show(context: typer.Context, name: Name, as_json: AsJson = False, env_file: EnvFile = None) -> None:
    """Show all that is known of one schedule."""
    from jobkit.cli.session import CommandSession

    session = CommandSession.begin(context, env_file, as_json=as_json)
    _show(session, name)


@app.command()
def add(
    context: typer.Context,
    name: Name,
    type: Annotated[str, typer.Argument(help="The job type.")],
    payload: Annotated[str, typer.Option("--payload", help="The payload of each job, as JSON.")] = "{}",
    key: Annotated[str | None, typer.Option("--key", help="The key of each job.")] = None,
    cron: Annotated[str | None, typer.Option("--cron", help='A cron expression, such as "0 3 * * *".')] = None,
    zone: Annotated[str, typer.Option("--zone", help="The time zone of --cron, such as Europe/Berlin.")] = "UTC",
    every: Annotated[
        float | None, typer.Option("--every", min=1.0, metavar="SECONDS", help="An interval instead of --cron.")
    ] = None,
    jitter: Annotated[
        float, typer.Option("--jitter", min=0.0, metavar="SECONDS", help="Put each tick off by up to so much.")
    ] = 0.0,
    missed: Annotated[
        Missed, typer.Option("--missed", help="Which ticks fire that passed while no worker lived.")
    ] = Missed.LATEST,
    bound: Annotated[int, typer.Option("--bound", help="With --missed all: how many at most.")] = 100,
    grace: Annotated[
        float, typer.Option("--grace", min=0.0, metavar="SECONDS", help="With --missed skip: how late is missed.")
    ] = 60.0,
    overlap: Annotated[
        Overlap, typer.Option("--overlap", help="What a tick does while the last job has yet to end.")
    ] = Overlap.ALLOW,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Add a schedule that no plugin declares. Its first tick is the next."""
    from jobkit.cli.session import CommandSession

    session = CommandSession.begin(context, env_file, as_json=as_json)

    async def added(planes: Planes) -> None:
        await _client(session, planes).schedules.add(
            name,
            type,
            payload.encode(),
            key=key,
            cron=cron,
            every=None if every is None else timedelta(seconds=every),
            zone=zone,
            jitter=timedelta(seconds=jitter),
            missed=missed.value,
            bound=bound,
            grace=timedelta(seconds=grace),
            overlap=overlap.value,
        )

    session.call(added, create=True)
    _show(session, name)


@app.command()
def pause(
    context: typer.Context,
    name: Name,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept with the schedule.")] = "",
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Stop a schedule until it is resumed. What passes meanwhile does not fire."""
    from jobkit.cli.session import CommandSession

    session = CommandSession.begin(context, env_file, as_json=as_json)
    session.call(lambda planes: _client(session, planes).schedules.pause(name, reason=reason))
    _show(session, name)


@app.command()
def resume(context: typer.Context, name: Name, as_json: AsJson = False, env_file: EnvFile = None) -> None:
    """Let a paused schedule go on with its next tick."""
    from jobkit.cli.session import CommandSession

    session = CommandSession.begin(context, env_file, as_json=as_json)
    session.call(lambda planes: _client(session, planes).schedules.resume(name))
    _show(session, name)


@app.command()
def trigger(
    context: typer.Context,
    name: Name,
    id: Annotated[
        str | None, typer.Option("--id", help="The job's id; asked again under the same one, it triggers once.")
    ] = None,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Submit a schedule's job now, beside its ticks."""
    from jobkit.cli.session import CommandSession

    session = CommandSession.begin(context, env_file, as_json=as_json)
    id = session.call(lambda planes: _client(session, planes).schedules.trigger(name, id=id))
    if as_json:
        session.out.document({"name": name, "id": id})
    else:
        session.out.note(f"{id} is accepted; look with: jobkit status {id}")


@app.command()
def remove(
    context: typer.Context, name: Name, yes: Yes = False, as_json: AsJson = False, env_file: EnvFile = None
) -> None:
    """Forget a schedule that was added. Its jobs stay."""
    from jobkit.cli.session import CommandSession, confirm

    session = CommandSession.begin(context, env_file, as_json=as_json)
    session.call(lambda planes: _client(session, planes).schedules.show(name))
    confirm(f"Remove schedule {name} for good?", yes=yes)
    session.call(lambda planes: _client(session, planes).schedules.remove(name))
    if as_json:
        session.out.document({"name": name, "removed": True})
    else:
        session.out.note(f"schedule {name} is removed")


def _client(session: CommandSession, planes: Planes) -> Client:
    from jobkit.client.client import Client

    return Client(planes, session.registry(), session.settings, session.clock)


def _show(session: CommandSession, name: str) -> None:
    from jobkit.cli.tables import schedule_fields
    from jobkit.ops.views import schedule_view

    status = session.call(lambda planes: _client(session, planes).schedules.show(name))
    if session.out.as_json:
        view: dict[str, Any] = schedule_view(status)
        session.out.document(view)
    else:
        session.out.fields(schedule_fields(status, session.clock.wall()))
