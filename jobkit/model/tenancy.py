"""Whose a job is, where the tenants of a type take turns."""

from __future__ import annotations

from dataclasses import dataclass

from jobkit.model.names import TENANT
from jobkit.model.priority import Priority

# So many of a tenant's jobs are in the queue or run at a time, where the type says nothing else.
PLACES = 32
# As many jobs are counted each time that one of a tenant's ends.
MOST_PLACES = 10_000


@dataclass(frozen=True, slots=True)
class Tenancy:
    """The tenant of a job, who has so many `places`: that many of its jobs are in the queue or run at a time.

    The others wait for one of those to end, in the order in which they came. It has as many for each priority.
    """

    tenant: str
    places: int = PLACES

    def line(self, priority: Priority) -> str:
        """Return the line in which its jobs of a priority wait."""
        return f"{priority.value} {self.tenant}"


def tenancy_of(tenant: object, places: int = PLACES) -> Tenancy:
    """Return the tenancy of a tenant. Raises `ValueError` where that is no usable name."""
    return Tenancy(TENANT.check(tenant), places)


def tenant_in(line: str | None) -> str | None:
    """Return the tenant whose line this is."""
    return None if line is None else line.partition(" ")[2]


def line_with_priority(line: str, priority: Priority) -> str:
    """Return the line of the same tenant for another priority."""
    return f"{priority.value} {line.partition(' ')[2]}"
