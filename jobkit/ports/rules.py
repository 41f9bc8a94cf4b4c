"""What every store does alike: bounds, what makes two jobs one, and the words of refusals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from jobkit.model.blob import BlobRef
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.model.job_group import NewGroup
from jobkit.model.priority import Priority
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Failure, NewJob

# A job that is retried for weeks must not grow its row for ever; the count of its failures goes on.
FAILURES_KEPT = 20
# So many starts of a job whose end nobody reported are told apart; far more than a job is given.
SILENT_KEPT = 1_000
# So many take-overs of a job are kept, the last ones.
TAKE_OVERS_KEPT = 10
# How long, in seconds, a store remembers by which coordinators its workers went.
COORDINATORS_KEPT = 86_400.0
# So many parked jobs go to the outbox in one transaction: enough to keep a lane busy, and no matter how many wait.
RELEASED = 32
# So many seconds more than it should take may pass until a delayed message is back, before it counts as missing.
KEPT_BACK_MARGIN = 10.0
# So many keys are looked at for each job that may be forgotten in one call.
KEYS_PER_JOB = 4
# Sequences above this are nobody's but a foreign publisher's: none is given out here, and all below are exact in any
# store, in JSON and in Lua.
HIGHEST_GIVEN = (1 << 53) - 1
# So much is kept of why a job was cancelled or something paused, and by whom.
NOTE_CHARACTERS = 500
# So much may be paused at a time: each worker reads all of it twice a second.
PAUSES_AT_MOST = 1_000
# So many jobs of a type that wait for a place are counted; more is as much.
COUNTED = 10_000
# So many parked jobs of a key are counted; more is as much. Of so many, the first in its order, it is asked when they
# came: those behind them nearly always came later.
PARKED_COUNTED = 1_000
PARKED_LOOKED_AT = 20
# Of so many jobs of a key, the first in its order that have yet to end, it is asked which one runs.
OPEN_LOOKED_AT = 100
# Who ends a job that nobody has cancelled, where others say who did.
ENDED_BY_JOBKIT = "jobkit"
# Why one ends that expired.
EXPIRED_REASON = "it had not begun in time"
# Why a message is dead-lettered whose id is another job's.
CONFLICTING = "conflicting id"
# Why a message is dead-lettered whose sequence is another job's.
SUPERSEDED = "sequence given out again"
# The same, by what the functions of a server answer.
UNWANTED = {"conflict": CONFLICTING, "superseded": SUPERSEDED}


def digest_of(envelope: Envelope) -> bytes:
    """Return the envelope's digest as it is stored."""
    return bytes.fromhex(envelope.digest())


def keyless_digest_of(envelope: Envelope) -> bytes:
    """Return the digest that the job had before its key was derived."""
    return digest_of(replace(envelope, key=None))


def dump_failure(failure: Failure) -> str:
    """Return a failed attempt as JSON, on one line."""
    return json.dumps(
        {
            "attempt": failure.attempt,
            "error": failure.error,
            "traceback": failure.traceback,
            "owner": failure.owner,
            "token": failure.token,
            "at": failure.at,
        }
    )


def load_failure(text: str | bytes) -> Failure:
    """Return the failed attempt that `dump_failure` made `text` from."""
    return Failure(**json.loads(text))


def dump_manifest(files: Sequence[BlobRef]) -> str:
    """Return the files of a key as every store keeps them: the same files give the same text."""
    return json.dumps([asdict(file) for file in files])


def kept_back(retry_in: float) -> float:
    """Return for how many seconds from now the message of a job that is to wait for so many is not missed.

    A broker may keep it for twice as long as it was asked to.
    """
    return 2 * retry_in + KEPT_BACK_MARGIN if retry_in > 0 else 0.0


def keepable(text: str) -> str:
    r"""Return text for people as any store can keep it: NUL and halves of characters are spelled out, as in `\x00`."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")


def keepable_trace(trace: Mapping[str, str]) -> dict[str, str]:
    """Return a trace context, which anybody may have written, as any store can keep it and look for tags in it."""
    return {keepable(name): keepable(value) for name, value in trace.items()}


def keepable_note(text: str) -> str:
    """Return what a person said of a job as stores keep it: so much of it as is read in a table."""
    return keepable(text[:NOTE_CHARACTERS])


def due_of(job: NewJob, now: float) -> float | None:
    """Return when a job is due that is to be accepted `now`, a Unix time; None where that is at once."""
    due = job.at if job.at is not None else now + job.after if job.after is not None else now
    return due if due > now else None


def expiry_of(job: NewJob, now: float) -> float | None:
    """Return by when a job has to have begun that is to be accepted `now`, a Unix time; None where it has all time."""
    return now + job.expires_after if job.expires_after is not None else job.expires_at


def replaced_reason(id: str) -> str:
    """Return what is kept of a job that was cancelled because job `id` took its place and its unique name."""
    return f"replaced by {id}"


def priority_in(head: bytes | None) -> Priority | None:
    """Return the priority in the first line of a packed envelope; None where the envelope is gone with its job."""
    if head is None:
        return None
    # Nearly none says it, and it is asked of each job in a list.
    return Envelope.unpack(head).priority if b'"priority"' in head else Priority.NORMAL


def head_with_priority(head: bytes, priority: Priority) -> bytes:
    """Return the first line of a packed envelope with another priority."""
    return Envelope.head(Envelope.unpack(head).with_priority(priority).pack())


def receipt_of_ended(id: str, state: str) -> Receipt:
    """Return the receipt of a job that was found to have ended, in `state`."""
    return Receipt(id, state if state in (JobState.CANCELLED, JobState.EXPIRED) else "duplicate")


# ---- groups ----------------------------------------------------------------------------------------------------------


def dump_group(group: NewGroup) -> str:
    """Return what a job that closes a group says of it, as servers are told."""
    return f"{group.on_failure} {group.members} {int(group.held)}"


def not_in_group(id: str, group: str) -> str:
    """Return what is said where a job cannot be a member of a group, nothing of which is written then."""
    return (
        f"job {id!r} cannot be a member of group {group!r}: it is known as another job, or the group is unknown, whole "
        "or abandoned"
    )


def not_a_group(id: str) -> str:
    """Return what is said where a job that is to close a group is known, but not as closing just this one."""
    return f"job {id!r} is known, and not as one that closes this group: use another id"


# ---- refusals --------------------------------------------------------------------------------------------------------


def key_of(envelope: Envelope) -> str:
    """Return the envelope's key. Raises `ValueError` where it carries none."""
    if envelope.key is None:
        raise ValueError(f"the envelope of job {envelope.id} carries no key")
    return envelope.key


def without_order(envelope: Envelope) -> ValueError:
    """Return what is raised where an ordered job has no key to be ordered on."""
    return ValueError(f"job {envelope.id} is ordered, so its envelope must carry a key")


def without_sequence(envelope: Envelope) -> ValueError:
    """Return what is raised where a job without an order is to be parked."""
    return ValueError(f"job {envelope.id} has no sequence, so there is no gap to park it behind")


def with_sequence(envelope: Envelope) -> ValueError:
    """Return what is raised where a job is to be put back that has a place in an order."""
    return ValueError(f"job {envelope.id} has a sequence, so it cannot be put back without stopping its key")


def never_opened(envelope: Envelope) -> ValueError:
    """Return what is raised where an attempt of a job is reported, or a job buried, that was never opened."""
    return ValueError(f"job {envelope.id} was never opened: no attempt of it can have failed, bury its message instead")


def nothing_to_skip(type: str, key: str, expected: int, before: int) -> ValueError:
    """Return what is raised where a gap ends before it begins."""
    return ValueError(f"{type}/{key} waits for sequence {expected}: nothing can be skipped before {before}")


def too_many_pauses() -> ValueError:
    """Return what is raised where one more thing is to be paused than all workers can keep in mind."""
    return ValueError(
        f"{PAUSES_AT_MOST:,} things are paused already, and no more can be: resume some, or pause their type"
    )


def beyond_sequences(type: str, key: str) -> ValueError:
    """Return what is raised where a key would be taken to sequences that are given to nobody."""
    return ValueError(f"{type}/{key}: sequences end at {HIGHEST_GIVEN}, nothing can be skipped beyond")
