"""Until when a lease is trusted: the time that its holder read *before* it asked, plus the TTL, less drift and guard.

The clock is the holder's own and counts suspension, so no answer, however late, can make a lease last too long (as in
the Chubby and etcd clients).
"""

from __future__ import annotations

from dataclasses import dataclass

from jobkit.settings import Settings


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """How long leases are asked for and trusted; all in seconds but `drift`, a share."""

    ttl: float
    guard: float
    drift: float

    @classmethod
    def of(cls, settings: Settings) -> LeaseTerms:
        """Return the terms that the settings ask for."""
        return cls(settings.lease_ttl, settings.lease_guard, settings.clock_drift)

    @property
    def trusted(self) -> float:
        """For how long after a request was sent its grant is trusted."""
        return self.ttl * (1 - self.drift) - self.guard

    def deadline(self, sent: float) -> float:
        """Return until when a grant is trusted that was asked for at `sent`, on the holder's own clock in seconds."""
        return sent + self.trusted

    @property
    def renew_every(self) -> float:
        """How often leases are renewed: twice more than needed, so that one lost renewal is no loss."""
        return self.ttl / 3
