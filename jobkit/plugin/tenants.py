"""Tenants that take turns: whose a job is, as a processor declares it and a payload says it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobkit.errors import PayloadInvalid
from jobkit.model.safe_text import ERROR_CHARACTERS, shown
from jobkit.model.tenancy import MOST_PLACES, PLACES, Tenancy, tenancy_of

TenantOf = Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Tenants:
    """Tells whose a job is from its payload, and how many of one tenant's are in the queue or run at a time."""

    of: TenantOf
    places: int

    def tenancy(self, type: str, job: object, given: str | None) -> Tenancy:
        """Return the tenancy of a job, of the tenant that is `given` if one is. Raises `PayloadInvalid`."""
        try:
            return tenancy_of(self.of(job) if given is None else given, self.places)
        except Exception as error:
            raise PayloadInvalid(
                f"no tenant could be made of this payload of type {type!r}: {shown(error, ERROR_CHARACTERS)}"
            ) from error


def tenants_of(tenant: TenantOf | None, places: int | None) -> Tenants | None:
    """Return what a declaration says of tenants."""
    return None if tenant is None else Tenants(tenant, PLACES if places is None else places)


def told_tenancy(type: str, given: str | None, places: int | None) -> Tenancy | None:
    """Return the tenancy of a job of a type that is known by its definition only.

    Raises `PayloadInvalid` where it has tenants and no usable one is given, or `ValueError` where it has none.
    """
    if places is None:
        refuse_tenant(type, given)
        return None
    if given is None:
        raise PayloadInvalid(
            f"tenants of job type {type!r} take turns, and only its code tells whose a job is: say tenant="
        )
    try:
        return tenancy_of(given, places)
    except ValueError as error:
        raise PayloadInvalid(str(error)) from error


def refuse_tenant(type: str, given: str | None) -> None:
    """Refuse a tenant for a job of a type that knows none. Raises `ValueError`."""
    if given is not None:
        raise ValueError(
            f"job type {type!r} knows no tenants: declare them with @processor(..., tenant=lambda job: ...), and start "
            "its workers anew"
        )


def problems_of(tenant: object, places: object, ordered: object) -> list[str]:
    """Return what is wrong with what a declaration says of tenants, whatever was given."""
    if tenant is None:
        return [] if places is None else ["places go with tenant=: they are so many for each tenant"]
    found = []
    if not callable(tenant) or inspect.iscoroutinefunction(tenant):
        found.append(
            "tenant must be a plain function of the payload, such as tenant=lambda job: job.customer, not "
            f"{shown(tenant)}"
        )
    if places is not None and (
        not isinstance(places, int) or isinstance(places, bool) or not 1 <= places <= MOST_PLACES
    ):
        found.append(f"places must be 1 to {MOST_PLACES}, not {shown(places)}")
    if ordered is True:
        found.append("tenants of an ordered type cannot take turns: the order of its jobs is that of their submission")
    return found
