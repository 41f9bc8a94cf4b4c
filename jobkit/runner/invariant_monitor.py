"""What this worker has lately seen the store accept, to notice where that breaks an invariant.

It protects nothing, and it knows of no other worker's commits: the store does both. It is the smoke detector for the
day when the store itself is wrong, such as one that lost what it had confirmed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from jobkit.leases import Lease
from jobkit.model.clock import Clock
from jobkit.model.invariant import Invariant
from jobkit.runner.decode import Job
from jobkit.telemetry import Telemetry

_MOST = 10_000
# An hour is long for a retry and short for a retention: what is forgotten on purpose may rightly begin anew.
_LONGEST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class _Commit:
    id: str
    token: int
    nonce: str
    sequence: int | None
    at: float


class InvariantMonitor:
    """The latest commit of each key and id, for no longer than the store remembers ids (`retention`, in seconds)."""

    def __init__(self, retention: float, clock: Clock, telemetry: Telemetry) -> None:
        self._horizon = min(retention, _LONGEST_SECONDS)
        self._clock = clock
        self._telemetry = telemetry
        self._by_key: OrderedDict[str, _Commit] = OrderedDict()
        self._by_id: OrderedDict[str, _Commit] = OrderedDict()

    def committed(self, job: Job, lease: Lease) -> None:
        """Enter a commit that the store has accepted."""
        ref = lease.ref
        new = _Commit(job.envelope.id, ref.token, ref.nonce, job.sequence, self._clock.now())
        before = _enter(self._by_id, new.id, new)
        if before is not None and self._counts(before, new) and before.nonce != new.nonce:
            detail = f"it had committed under token {before.token} and did again under {new.token}"
            self._telemetry.violated(Invariant.SINGLE_EFFECT, job.resource, new.id, detail)
        last = _enter(self._by_key, job.resource, new)
        if last is None or not self._counts(last, new):
            return
        if last.token > new.token or (last.token == new.token and last.nonce != new.nonce):
            detail = f"accepted under token {new.token} after token {last.token}"
            self._telemetry.violated(Invariant.FENCING, job.resource, new.id, detail)
        if last.id == new.id or new.sequence is None or last.sequence is None:
            return
        if new.sequence <= last.sequence:
            detail = f"sequence {new.sequence} was accepted after {last.sequence}"
            self._telemetry.violated(Invariant.ORDER, job.resource, new.id, detail)

    def _counts(self, before: _Commit, now: _Commit) -> bool:
        return now.at - before.at < self._horizon


def _enter(book: OrderedDict[str, _Commit], name: str, new: _Commit) -> _Commit | None:
    """Replace the entry `name`, as the latest; return what it was."""
    before = book.pop(name, None)
    book[name] = new
    if len(book) > _MOST:
        book.popitem(last=False)
    return before
