"""Every error jobkit raises, arranged by whose doing it was.

Outcomes that the way of a job expects (a duplicate, a gap, a lease held by somebody else) are values,
not exceptions; see `jobkit.ports`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from jobkit.model.due import FARTHEST
from jobkit.model.failure import Failure
from jobkit.model.plane import Plane
from jobkit.model.safe_text import error_text, shown


class JobkitError(Exception):
    """Root of every error that jobkit raises on purpose."""


class ConfigurationError(JobkitError):
    """A setting, plugin or argument is wrong; the message names what to change."""


class NotThereYet(ConfigurationError):
    """A database or directory is not there, and who only looks does not make it: the first submit or worker does."""


class ResourceFailed(JobkitError):
    """What a worker opens for its jobs did not open, or ended while it was in use; the message names the resource."""


class UnknownType(ConfigurationError):
    """No plugin that is loaded here handles this job type."""


class UnknownMember(UnknownType):
    """A job is of a type of a group that is loaded here, and that type is not."""


class PayloadInvalid(ConfigurationError):
    """A payload does not validate against its type's model, or is larger than allowed."""


class PayloadNewer(PayloadInvalid):
    """A payload is of a later version than the code here knows, or has fields that it does not."""


class NotTransactional(ConfigurationError):
    """The store that is configured has no transactions in which others can take part."""

    def __init__(self, asked: str, hint: str = "") -> None:
        super().__init__(
            f"{asked} needs a store whose transactions others can join: set JOBKIT_STORE_URL=postgresql://..., "
            f"the database in which your own tables are{hint}"
        )


class TypeUnreadable(JobkitError, ValueError):
    """A published job type in the store that this version of jobkit cannot read."""


class JobConflict(JobkitError):
    """The same job id was submitted before with another type, key or payload."""


class UniqueNameTaken(JobkitError):
    """A dead letter cannot be tried again, because another job, `holder`, holds its unique name."""

    def __init__(self, number: int, name: str, holder: str) -> None:
        super().__init__(
            f"dead letter {number} cannot be tried again while job {holder} holds its unique name {shown(name)}: "
            f"wait for that one, or cancel it"
        )
        self.holder = holder


class JobNotFound(JobkitError):
    """No job with this id is known to the store (never submitted, or forgotten after retention)."""


class KeyNotFound(JobkitError):
    """The store knows nothing of a key: no job of it was ever accepted, or it was forgotten after retention."""


class ScheduleNotFound(JobkitError):
    """No schedule has this name."""


class ScheduleUnreadable(JobkitError, ValueError):
    """A schedule in the store that this version of jobkit cannot read; it does not fire here."""


class JobFailed(JobkitError):
    """The job that was waited for ended without a result, or was parked."""


class JobDead(JobFailed):
    """The job that was waited for failed for good. `failures` are its latest failed attempts, oldest first."""

    def __init__(self, id: str, *, reason: str, failures: Sequence[Failure] = ()) -> None:
        super().__init__(f"job {id} failed for good: {reason}")
        self.id = id
        self.reason = reason
        self.failures = tuple(failures)


class JobCancelled(JobFailed):
    """The job that was waited for was cancelled, `by` whom and for which `reason`."""

    def __init__(self, id: str, *, by: str, reason: str) -> None:
        super().__init__(f"job {id} was cancelled by {by}{f': {reason}' if reason else ''}")
        self.id = id
        self.by = by
        self.reason = reason


class JobExpired(JobFailed):
    """The job that was waited for had not begun in time, and never will."""

    def __init__(self, id: str, *, reason: str) -> None:
        super().__init__(f"job {id} expired: {reason}")
        self.id = id
        self.reason = reason


class Unavailable(JobkitError):
    """A backend did not answer; whether the request took effect is unknown."""

    def __init__(self, plane: Plane, message: str) -> None:
        super().__init__(f"{plane}: {message}")
        self.plane = plane


class ConsumerClosed(JobkitError):
    """This consumer no longer owns its queue: another one took over, or its connection ended.

    `taken_by` is the owner of the one that took over, where the broker tells.
    """

    def __init__(self, message: str, *, taken_by: str | None = None) -> None:
        super().__init__(message)
        self.taken_by = taken_by


class EffectInvalid(JobkitError, ValueError):
    """A result, record, log entry or file that no store would give back as the job meant it; the message names it."""


class CheckpointInvalid(JobkitError):
    """What an earlier attempt kept does not validate as what the code is now; the message names the field."""


class FileMissing(JobkitError):
    """A key has no committed file of that name."""


class FileReplaced(JobkitError):
    """The bytes of a file are gone or others: a later commit replaced them. Read the key's files again."""


class AttemptOver(JobkitError):
    """Something was staged in an attempt that has ended already, so that nothing would ever come of it."""


class ProcessDied(JobkitError):
    """The process of an attempt ended, or was killed, before it said how the attempt went."""


class MemoryExceeded(ProcessDied):
    """An attempt in a process of its own needs more memory than it may have."""


class LeaseLost(JobkitError):
    """The lease under which the work ran is gone, or can no longer be proven."""


class ParticipantFailed(JobkitError):
    """A function staged with `ctx.in_commit` raised `error`; the commit was rolled back, nothing is written."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error_text(error))
        self.error = error


class WaitTimeout(JobkitError):
    """A bounded wait ended without what it waited for; nothing was done in the meantime."""


class ProjectionFailed(JobkitError):
    """A projection's handler does not take an entry of the log: mend it, and raise the projection's version."""


class Retry(JobkitError):
    """Raised by a processor: this attempt failed, try again.

    `after` overrides the delay that the type's retry policy would choose.
    """

    def __init__(self, reason: str = "the processor asked for another attempt", *, after: timedelta | None = None):
        if after is not None and not isinstance(after, timedelta):
            raise TypeError(f"Retry(after=...) takes a timedelta, such as timedelta(seconds=30), not {shown(after)}")
        super().__init__(reason)
        self.after = after


class Snooze(JobkitError):
    """Raised by a processor: it is too early for this job, try again `after` so long. It counts as no attempt.

    A job without an order is kept by the store until then; one of an ordered type waits in its place.
    """

    def __init__(self, after: timedelta):
        if not isinstance(after, timedelta) or after < timedelta(0):
            raise TypeError(f"Snooze(after) takes a timedelta that is not negative, not {shown(after)}")
        if after > FARTHEST:
            raise ValueError(f"Snooze(after) takes a hundred years at most, not {after}")
        super().__init__(f"the processor put the job off for {after}")
        self.after = after


class Reject(JobkitError):
    """Raised by a processor: this job can never succeed; dead-letter it with this reason."""
