"""Leases as their holder sees them, and the keeper that renews them."""

from jobkit.leases.deadline import LeaseTerms
from jobkit.leases.keeper import Keeper
from jobkit.leases.lease import Lease

__all__ = ["Keeper", "Lease", "LeaseTerms"]
