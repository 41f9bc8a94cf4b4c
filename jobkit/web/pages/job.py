"""One job: why it is late, its life so far, its payload and result, and its files."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from jobkit.files import CommittedFile, FileReader
from jobkit.model.envelope import Envelope
from jobkit.model.partition import partition_of
from jobkit.ops.lateness import Reason, why_late
from jobkit.ports.checkpoints import CHECKPOINT, Checkpoint
from jobkit.ports.groups import GroupRecord
from jobkit.ports.inspection import JobRecord, JobState
from jobkit.ports.store import Failure
from jobkit.web.access import may_see
from jobkit.web.masking import shown_payload, shown_result
from jobkit.web.page import NotFound, Page, View
from jobkit.web.rendering import span

# Of the W3C header `traceparent`, which anybody may have written.
_TRACE_ID = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-")
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif")


@dataclass(frozen=True, slots=True)
class Event:
    """One moment in the life of a job. `kind` is how it looks: done, bad, now or plain."""

    at: float | None
    what: str
    detail: str = ""
    kind: str = "plain"


@dataclass(frozen=True, slots=True)
class _Seen:
    job: JobRecord
    reasons: Sequence[Reason]
    envelope: Envelope | None
    files: Sequence[CommittedFile]
    partitions: int
    kept: Sequence[Checkpoint]
    closes: GroupRecord | None


async def make(view: View) -> Page:
    """Return the page of one job."""
    id = view.path["id"]
    seen = await view.backstage.looks.look(("job", id), lambda: _look(view, id))
    job, envelope, registry = seen.job, seen.envelope, view.backstage.registry
    return Page(
        "job.html",
        f"Job {job.id}",
        {
            "job": job,
            "reasons": seen.reasons,
            "events": life(job, seen.kept),
            "closes": seen.closes,
            "payload": None if envelope is None else shown_payload(view.user, registry, job.type, envelope.body),
            "result": None if job.result is None else shown_result(view.user, registry, job.type, job.result),
            "trace_id": (trace_id := _trace_id(job)),
            "trace_url": _trace_url(view, trace_id),
            "files": seen.files if may_see(view.user, registry, job.type) else (),
            "pictures": _PICTURES,
            "films": _films(seen.files),
            "partition": partition_of(job.key, seen.partitions),
            "ended": job.state.ended,
            "prioritized": job.sequence is None and registry.knows_priorities(job.type),
        },
    )


def _films(files: Sequence[CommittedFile]) -> Collection[str]:
    """Return the names of the files that are films by themselves, and no parts of one that a playlist plays."""
    played = {file.name.rpartition("/")[0] for file in files if file.name.endswith((".m3u8", ".mpd"))}
    films = [file.name for file in files if file.media_type == "video/mp4"]
    return [name for name in films if not any(f"{name}/".startswith(f"{folder}/") or not folder for folder in played)]


def _trace_id(job: JobRecord) -> str | None:
    found = _TRACE_ID.match(job.trace.get("traceparent", ""))
    return None if found is None else found[1]


def _trace_url(view: View, trace_id: str | None) -> str | None:
    url = view.backstage.settings.web_trace_url
    return None if url is None or trace_id is None else url.replace("{trace_id}", trace_id)


async def _look(view: View, id: str) -> _Seen:
    planes = view.planes
    job = await planes.inspection.job(id)
    if job is None:
        raise NotFound(f"There is no job {id}: it was never submitted here, or was forgotten after its retention.")
    partitions = await view.partitions(job.type)
    reasons = await why_late(planes, job, partitions=partitions, clock=view.backstage.clock)
    envelope = None if job.state.ended else await planes.inspection.envelope(id)
    kept, closes = await planes.store.checkpoints(id), await planes.store.group(id)
    return _Seen(job, reasons, envelope, await _files(view, job), partitions, kept, closes)


async def _files(view: View, job: JobRecord) -> Sequence[CommittedFile]:
    """Return the files of the job's key that this job has made."""
    if job.state is not JobState.COMMITTED:
        return ()
    files = await FileReader(view.planes.inspection, view.planes.blobs).files(job.type, job.key)
    return [file for file in files if file.job_id == job.id]


@dataclass(frozen=True, slots=True)
class _Hold:
    """A worker that had the job: until when, and with what it failed, or None where another one took it over."""

    owner: str
    token: int
    until: float
    failure: Failure | None = None


def life(job: JobRecord, kept: Sequence[Checkpoint] = ()) -> list[Event]:
    """Return what has happened to a job, in order, and what it keeps of its work."""
    found = [Event(job.submitted_at, "Submitted", "accepted by the store")]
    if job.due_at is not None:
        found.append(Event(job.due_at, "Due", "to begin no sooner"))
    found += _holds(job)
    for one in kept:
        files = f"with {', '.join(blob.name for blob in one.blobs)}" if one.blobs else ""
        what = "Checkpoint kept" if one.step == CHECKPOINT else f"Step {one.step} done"
        found.append(Event(one.at, what, files or "the next attempt goes on from there"))
    found.append(_last(job))
    return sorted(found, key=lambda event: float("inf") if event.at is None else event.at)


def _holds(job: JobRecord) -> list[Event]:
    """Return how workers came to have the job, and what became of that."""
    holds = [_Hold(one.owner, one.token, one.at, one) for one in job.failures]
    holds += [_Hold(one.owner, one.token, one.at) for one in job.take_overs]
    holds.sort(key=lambda hold: hold.until)
    if job.owner is not None:
        holds.append(_Hold(job.owner, job.token or 0, float("inf")))
    found = list[Event]()
    if holds and job.started_at is not None:
        first, waited = holds[0], job.started_at - max(job.submitted_at, job.due_at or 0.0)
        detail = f"by {first.owner}, token {first.token}, after {span(waited)}"
        found.append(Event(job.started_at, "Claimed and begun", detail))
    for hold, following in zip_longest(holds, holds[1:]):
        if hold.failure is not None:
            where = f"on {hold.owner}, token {hold.token}: {hold.failure.error}"
            found.append(Event(hold.until, f"Attempt {hold.failure.attempt} failed", where, "bad"))
        elif following is not None:
            who = f"by {following.owner}, token {following.token}, from {hold.owner}, token {hold.token}"
            found.append(Event(hold.until, "Taken over", f"{who}, which had not ended it"))
    if job.opens > max(1, len(holds)):
        found.append(Event(None, f"Begun {job.opens} times in all", "by other workers, or after failed attempts"))
    return found


def _last(job: JobRecord) -> Event:
    ended = f"after {span(job.finished_at - job.submitted_at)} in all" if job.finished_at else ""
    if job.finished_at and job.started_at:
        ended += f", {span(job.finished_at - job.started_at)} since it began"
    match job.state:
        case JobState.COMMITTED:
            return Event(job.finished_at, "Done", f"committed {ended}", "done")
        case JobState.DEAD:
            return Event(job.finished_at, "Given up", f"put with the dead letters {ended}", "bad")
        case JobState.CANCELLED:
            return Event(job.finished_at, "Cancelled", f"by {job.ended_by} {ended}", "bad")
        case JobState.EXPIRED:
            return Event(job.finished_at, "Expired", "it had not begun in time", "bad")
        case JobState.RUNNING:
            return Event(None, "Running now", job.message or f"{job.progress:.0%}", "now")
        case JobState.PARKED:
            return Event(None, "Waiting behind a gap", "the job before it on its key is missing", "now")
        case JobState.SCHEDULED:
            return Event(None, "Waiting until it is due", "", "now")
        case _:
            return Event(None, "Waiting for its turn", "", "now")
