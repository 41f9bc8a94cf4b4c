"""`jobkit submit`: hands a job over, and on `--wait` shows how it goes.

Waiting is only looking: ending the wait, by Ctrl-C or by its timeout, does nothing to the job.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.exit_codes import ExitCode, NoAnswer
from jobkit.cli.options import AsJson, EnvFile
from jobkit.cli.submit_arguments import read_expiry, read_payload, read_time, read_unique
from jobkit.errors import ConfigurationError, JobFailed, Unavailable, WaitTimeout
from jobkit.model.ids import new_job_id
from jobkit.model.priority import Priority
from jobkit.model.unique import OnConflict, While

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jobkit.cli.output import Output
    from jobkit.cli.session import CommandSession
    from jobkit.client import Client, Submission
    from jobkit.plugin.notification import Notification
    from jobkit.plugin.registry import Registry
    from jobkit.ports.inspection import JobRecord
    from jobkit.ports.planes import Planes


def submit(
    context: typer.Context,
    type: Annotated[str, typer.Argument(metavar="TYPE", help="The job type.")],
    payload: Annotated[
        str,
        typer.Option(
            "--payload", "-p", metavar="JSON|@FILE|-", help="The payload: JSON, a file of it, or - for stdin."
        ),
    ],
    key: Annotated[str | None, typer.Option("--key", help="The job's key, in place of the payload's own.")] = None,
    id: Annotated[
        str | None, typer.Option("--id", help="The job's id. The same id and payload again change nothing.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Not before this time, with its zone: 2026-12-24T18:00:00+01:00."),
    ] = None,
    after: Annotated[
        float | None, typer.Option("--after", min=0.0, metavar="SECONDS", help="Not before so many seconds from now.")
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires",
            metavar="TIME|SECONDS",
            help="Not at all, if it has not begun by then, or in so long.",
        ),
    ] = None,
    priority: Annotated[
        Priority | None, typer.Option("--priority", help="Begin it before those that are less urgent.")
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option("--tenant", help="Whose it is, where tenants take turns, in place of the payload's own."),
    ] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="A word to find the job by; repeatable.")] = None,
    unique: Annotated[
        str | None,
        typer.Option("--unique", metavar="NAME", help="Not at all, while another job of the type holds this name."),
    ] = None,
    while_: Annotated[
        While, typer.Option("--while", help="With --unique: whether the job holds the name until it begins, or ends.")
    ] = "queued",
    on_conflict: Annotated[
        OnConflict,
        typer.Option("--on-conflict", help="With --unique: what becomes of a job that holds it and has not begun."),
    ] = "keep",
    notify: Annotated[
        list[str] | None,
        typer.Option(
            "--notify",
            metavar="JSON",
            help='A job that its commit submits, as {"type": "webhook", "payload": {"url": ..., "event": ...}}.',
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end, and print the result.")] = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0.0, metavar="SECONDS", help="With --wait: how long at most.")
    ] = None,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Submit a job and print its id; with --wait, show its progress and print its result."""
    from jobkit.cli.session import CommandSession

    if timeout is not None and not wait:
        raise ConfigurationError("--timeout goes with --wait")
    when = read_time(at, after)
    expiry = read_expiry(expires)
    name = read_unique(unique, while_, on_conflict)
    told = [_read_notification(one) for one in notify or ()]
    session = CommandSession.begin(context, env_file, as_json=as_json)
    registry = session.registry()
    if type in registry.processors:
        try:
            registry.get(type).priority_for(priority)
        except ValueError as error:
            raise ConfigurationError(f"--priority: {error}") from error
    body = read_payload(payload, session.settings.max_payload_bytes)
    # Made here and not by the client, so that it can be named where the answer to the submission is lost.
    job = _Job(
        session,
        registry,
        type,
        body,
        key,
        new_job_id() if id is None else id,
        when,
        expiry,
        priority,
        tenant,
        tags or (),
        name,
        told,
    )
    if not wait:
        with job.accounted_for():
            submission = session.call(job.submit, create=True)
        _announce(submission, session.out)
        return
    with job.accounted_for():
        end = session.call(lambda planes: job.to_end(planes, timeout), limit=None, create=True)
    _conclude(end, session.out)


class _Job:
    """The job at hand: submitted, and watched."""

    def __init__(
        self,
        session: CommandSession,
        registry: Registry,
        type: str,
        body: bytes,
        key: str | None,
        id: str,
        when: tuple[datetime | None, timedelta | None],
        expires: datetime | timedelta | None,
        priority: Priority | None,
        tenant: str | None,
        tags: Sequence[str],
        unique: tuple[str | None, While, OnConflict],
        notify: Sequence[Notification],
    ) -> None:
        self._session = session
        self._registry = registry
        self._type = type
        self._body = body
        self._key = key
        self._id = id
        self._at, self._after = when
        self._expires = expires
        self._priority = priority
        self._tenant = tenant
        self._tags = tags
        self._unique, self._while, self._on_conflict = unique
        self._notify = notify
        self._submitted = False

    async def submit(self, planes: Planes) -> Submission:
        try:
            submission = await self._client(planes).submit(
                self._type,
                self._body,
                key=self._key,
                id=self._id,
                at=self._at,
                after=self._after,
                expires=self._expires,
                priority=self._priority,
                tenant=self._tenant,
                tags=self._tags,
                unique=self._unique,
                while_=self._while,
                on_conflict=self._on_conflict,
                notify=self._notify,
            )
        except ValueError as error:
            # What the type does not know: only who has its code, or its definition, could tell.
            raise ConfigurationError(str(error)) from error
        self._submitted = True
        # Of a job that is kept, the one that was there.
        self._id = submission.id
        return submission

    async def to_end(self, planes: Planes, timeout: float | None) -> JobRecord:
        """Submit the job and return its record once it has ended or is parked. Raises `WaitTimeout`."""
        from jobkit.cli.session import within

        out = self._session.out
        with within():
            submission = await self.submit(planes)
            workers = await planes.coordinator.members()
        _say_what_became_of(submission, out)
        if not any(submission.type in worker.types for worker in workers):
            out.note(
                f"no live worker serves {submission.type!r}; the job waits for one: jobkit worker {submission.type}"
            )
        with _progress(out) as tell:
            async for record in self._client(planes).watch(self._id, timeout):
                tell(record)
        return record

    @contextmanager
    def accounted_for(self) -> Iterator[None]:
        """Print what is known of the job where the block ends early: accepted, or unknown."""
        try:
            yield
        except (KeyboardInterrupt, Unavailable, NoAnswer, WaitTimeout) as error:
            if self._submitted:
                self._session.out.note(f"no longer waiting; the job goes on: jobkit status {self._id}")
            else:
                self._session.out.note(
                    f"it is unknown whether the job was accepted; to be sure, submit it again with --id {self._id}"
                )
            if isinstance(error, KeyboardInterrupt):
                raise typer.Exit(ExitCode.INTERRUPTED) from None
            raise

    def _client(self, planes: Planes) -> Client:
        from jobkit.client import Client

        return Client(planes, self._registry, self._session.settings, self._session.clock)


def _read_notification(argument: str) -> Notification:
    """Return what is to be told of the job. Raises `ConfigurationError` where the argument does not say."""
    from jobkit.plugin.notification import Notification, checked_ends

    try:
        match json.loads(argument):
            case {"type": str(type), "payload": dict(payload), **rest} if rest.keys() <= {"key", "on"}:
                key, on = rest.get("key"), rest.get("on", ["committed"])
                if isinstance(key, str | None) and isinstance(on, list):
                    return Notification(type, payload, key, checked_ends(on))
    except (ValueError, RecursionError):
        pass
    raise ConfigurationError(
        f"--notify {argument!r:.80} is none: say "
        '{"type": "webhook", "payload": {"url": "https://...", "event": "job.done"}}, and "key" where it has one, and '
        '"on": ["dead", "cancelled", "expired"] where other ends are told of'
    )


def _announce(submission: Submission, out: Output) -> None:
    """Print the id alone on stdout, where `id=$(jobkit submit ...)` finds it."""
    from dataclasses import asdict

    if out.as_json:
        out.document(asdict(submission))
    else:
        out.text(submission.id)
    _say_what_became_of(submission, out)


def _say_what_became_of(submission: Submission, out: Output) -> None:
    order = "" if submission.sequence is None else f", number {submission.sequence} of its key"
    name = f"job {submission.id} ({submission.type}/{submission.key}{order})"
    if submission.known:
        out.note(f"{name} was submitted before; nothing was changed")
        return
    if submission.kept:
        out.note(f"{name} holds that unique name; it is kept, and nothing was submitted")
        return
    if submission.replaced is not None:
        out.note(f"job {submission.replaced}, which had not begun, is replaced and cancelled")
    if submission.due_at is not None:
        out.note(f"{name} is scheduled for {datetime.fromtimestamp(submission.due_at, UTC):%Y-%m-%d %H:%M:%SZ}")
    elif submission.waits:
        out.note(f"{name} submitted; it waits until its tenant has a place for it")
    elif submission.published:
        out.note(f"{name} submitted")
    else:
        out.note(f"{name} accepted, but the broker did not take it yet; a worker will publish it")


def _conclude(job: JobRecord, out: Output) -> None:
    """Print the result of a job that was waited for. Raises `JobFailed` where it has none."""
    from jobkit.handles.outcome import failure_of
    from jobkit.ops.views import stored_json
    from jobkit.ports.inspection import JobState

    if job.state is JobState.COMMITTED:
        if not out.as_json:
            out.document(stored_json(job.result or b"null"))
        return
    if job.state is JobState.PARKED:
        raise JobFailed(
            f"job {job.id} is parked: a job before it on {job.type}/{job.key} is missing or dead; "
            "look with: jobkit gaps list"
        )
    failure = failure_of(job)
    if job.state is JobState.DEAD:
        raise JobFailed(f"{failure}\nlook with: jobkit dead show {job.id}")
    raise failure


@contextmanager
def _progress(out: Output) -> Iterator[Callable[[JobRecord], None]]:
    """Lend what shows each change of a job: JSON lines, a moving bar on a terminal, or plain lines on stderr."""
    from jobkit.cli.output import plain
    from jobkit.cli.tables import percent
    from jobkit.cli.terminal import terminal
    from jobkit.ops.views import job_view
    from jobkit.ports.inspection import JobState

    console = terminal(stderr=True)
    if out.as_json:
        yield lambda job: out.line(job_view(job))
    elif not console.is_terminal:
        told: set[tuple[str, int]] = set()

        def tell(job: JobRecord) -> None:
            # A log wants steps, not every frame: each state, and each tenth of the way.
            step = (job.state.value, int(job.progress * 10))
            if step not in told:
                told.add(step)
                out.note(f"{job.state.value} {percent(job)} {job.message}".rstrip(" -"))

        yield tell
    else:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[message]}", markup=False),
        )
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("queued", total=None, message="")

            def move(job: JobRecord) -> None:
                bar.update(
                    task,
                    description=job.state.value,
                    # Without a total the bar pulses: nothing can be said yet of how far the job is.
                    total=None if job.state is JobState.QUEUED else 1.0,
                    completed=1.0 if job.state is JobState.COMMITTED else job.progress,
                    message=plain(job.message),
                )

            yield move
