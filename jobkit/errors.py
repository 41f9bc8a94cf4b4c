"""Every error jobkit raises, arranged by whose doing it was.

Outcomes that the way of a job expects (a duplicate, a gap, a lease held by somebody else) are values,
not exceptions; see `jobkit.ports`.
"""

from __future__ import annotations

from datetime import timedelta


class JobkitError(Exception):
    """Root of every error that jobkit raises on purpose."""


class ConfigurationError(JobkitError):
    """A setting, plugin or argument is wrong; the message names what to change."""


class UnknownType(ConfigurationError):
    """No plugin that is loaded here handles this job type."""


class PayloadInvalid(ConfigurationError):
    """A payload does not validate against its type's model, or is larger than allowed."""


class JobConflict(JobkitError):
    """The same job id was submitted before with another type, key or payload."""


class JobNotFound(JobkitError):
    """No job with this id is known to the store (never submitted, or forgotten after retention)."""


class JobFailed(JobkitError):
    """The job that was waited for ended in the dead letters or was parked."""


class Unavailable(JobkitError):
    """A backend did not answer; whether the request took effect is unknown.

    `plane` is "broker", "coordinator", "store" or "blobs".
    """

    def __init__(self, plane: str, message: str) -> None:
        super().__init__(f"{plane}: {message}")
        self.plane = plane


class ConsumerClosed(JobkitError):
    """This consumer no longer owns its queue: another one took over, or its connection ended."""


class LeaseLost(JobkitError):
    """The lease under which the work ran is gone, or can no longer be proven."""


class WaitTimeout(JobkitError):
    """A bounded wait ended without what it waited for; nothing was done in the meantime."""


class Retry(JobkitError):
    """Raised by a processor: this attempt failed, try again.

    `after` overrides the delay that the type's retry policy would choose.
    """

    def __init__(self, reason: str = "the processor asked for another attempt", *, after: timedelta | None = None):
        super().__init__(reason)
        self.after = after


class Reject(JobkitError):
    """Raised by a processor: this job can never succeed; dead-letter it with this reason."""
