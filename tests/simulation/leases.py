"""Who may work: only who holds a lease that lives, and no more at once than a limit says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jobkit.model.fence import Fence
from jobkit.ports.coordinator import LeaseRef
from simulation.events import Attempted, Consuming, Event, Forgot, Grant, Release, Renewal, Step
from simulation.expectation import Violation

_ROUNDING = 1e-6


@dataclass(slots=True)
class _Holding:
    """A lease as the coordinator knows it. `forgotten`: from before it lost its data."""

    lease: LeaseRef
    owner: str
    expires: float
    released: bool = False
    forgotten: bool = False
    began: bool = False

    def over(self, at: float) -> bool:
        """Return whether the coordinator may grant the resource to somebody else."""
        return self.released or self.forgotten or at >= self.expires

    def fault(self, at: float, resource: str, newest: Mapping[str, LeaseRef]) -> str:
        """Return why nobody may work under it at that time, or an empty string."""
        if self.released:
            return "which was released"
        if at >= self.expires:
            return f"which expired at {self.expires}"
        if not self.forgotten and newest[resource].token > self.lease.token:
            return f"while {newest[resource]} was granted"
        return ""


def no_lease_no_work(events: Sequence[Event]) -> Iterator[Violation]:
    """No processor runs, no write is tried and no queue consumed without a lease that lives on the coordinator's clock.

    What a processor does in the very instant its node goes on after a pause is let go: no program can prevent it.
    """
    holdings: dict[tuple[str, int, str], _Holding] = {}
    newest: dict[str, LeaseRef] = {}
    leading: dict[tuple[str, str], list[_Holding]] = defaultdict(list)
    for event in events:
        match event:
            case Grant(at, lease, owner, ttl):
                key = (lease.resource, lease.token, lease.nonce)
                # Told again, a grant extends nothing.
                if key not in holdings or holdings[key].forgotten:
                    last = newest.get(lease.resource)
                    if last is not None and not holdings[last.resource, last.token, last.nonce].over(at):
                        yield Violation("no-lease-no-work", f"{lease} was granted while {last} lived", at)
                    holdings[key] = _Holding(lease, owner, at + ttl)
                    leading[lease.resource, owner].append(holdings[key])
                newest[lease.resource] = lease
            case Renewal(at, lease, ttl):
                holdings[lease.resource, lease.token, lease.nonce].expires = at + ttl
            case Release(_, lease):
                holdings[lease.resource, lease.token, lease.nonce].released = True
            case Forgot():
                for holding in holdings.values():
                    holding.forgotten = True
            case Step(at, node, resource, job, _, fence, resumed):
                if not resumed and (fault := _fault_of(holdings, newest, resource, fence, at)):
                    yield Violation("no-lease-no-work", f"{node} processed {job} under {fence}, {fault}", at)
            case Attempted(at, node, action, resource, job, fence):
                if fault := _fault_of(holdings, newest, resource, fence, at):
                    yield Violation("no-lease-no-work", f"{node} tried to {action} {job} under {fence}, {fault}", at)
            case Consuming(at, node, partition, owner, resumed):
                held = leading[partition.resource, owner]
                if not resumed and not any(not holding.released and at < holding.expires for holding in held):
                    yield Violation("no-lease-no-work", f"{node} consumed {partition} without leading it", at)


def _fault_of(
    holdings: Mapping[tuple[str, int, str], _Holding],
    newest: Mapping[str, LeaseRef],
    resource: str,
    fence: Fence,
    at: float,
) -> str:
    holding = holdings.get((resource, fence.token, fence.nonce))
    return "which was never granted" if holding is None else holding.fault(at, resource, newest)


def run_at_once(events: Sequence[Event], most: Mapping[str, int]) -> Iterator[Violation]:
    """No more jobs of a type run at once, under leases that live, than its limit says.

    Where the coordinator lost its data, those that ran then do not count against it until their leases end.
    """
    holdings: dict[tuple[str, int, str], _Holding] = {}
    for event in events:
        match event:
            case Grant(at, lease, owner, ttl):
                holdings.setdefault((lease.resource, lease.token, lease.nonce), _Holding(lease, owner, at + ttl))
            case Renewal(at, lease, ttl):
                holdings[lease.resource, lease.token, lease.nonce].expires = at + ttl
            case Release(_, lease):
                holdings[lease.resource, lease.token, lease.nonce].released = True
            case Forgot():
                for holding in holdings.values():
                    holding.forgotten = True
            case Step(at, node, resource, job, _, fence, resumed) if resource.partition("/")[0] in most:
                type = resource.partition("/")[0]
                here = holdings.get((resource, fence.token, fence.nonce))
                if here is None or resumed or here.over(at):
                    continue
                here.began = True
                running = [
                    holding.lease.resource
                    for holding in holdings.values()
                    if holding.began and not holding.over(at) and holding.lease.resource.startswith(f"{type}/")
                ]
                if len(running) > most[type]:
                    yield Violation("limits", f"{node} processed {job} while {running} run, {most[type]} may", at)


def began_within(events: Sequence[Event], most: Mapping[str, tuple[int, float]]) -> Iterator[Violation]:
    """No more jobs of a key begin within a time, as the coordinator granted it, than the limit of their type says."""
    granted: dict[tuple[str, int, str], float] = {}
    began: dict[tuple[str, int, str], None] = {}
    forgot = [event.at for event in events if isinstance(event, Forgot)]
    for event in events:
        match event:
            case Grant(at, lease):
                granted.setdefault((lease.resource, lease.token, lease.nonce), at)
            case Step(_, _, resource, _, _, fence, _):
                began[resource, fence.token, fence.nonce] = None
    times: dict[str, list[float]] = defaultdict(list)
    for holding in [one for one in began if one in granted and one[0].partition("/")[0] in most]:
        times[holding[0]].append(granted[holding])
    for resource, found in times.items():
        count, seconds = most[resource.partition("/")[0]]
        for first, later in zip(sorted(found), sorted(found)[count:], strict=False):
            if later - first < seconds - _ROUNDING and not any(first <= at <= later for at in forgot):
                detail = f"{count + 1} jobs of {resource} began within {later - first:g} s, {count} may in {seconds:g}"
                yield Violation("limits", detail, later)


def grants_increase(events: Sequence[Event]) -> Iterator[Violation]:
    """Along each resource the tokens that are granted rise, and lie above the floor asked for.

    A coordinator that lost its data starts again.
    """
    highest: dict[str, LeaseRef] = {}
    for event in events:
        if isinstance(event, Forgot):
            highest.clear()
        elif isinstance(event, Grant):
            last = highest.get(event.lease.resource)
            if event.lease != last and last is not None and event.lease.token <= last.token:
                yield Violation("fencing", f"{event.lease} was granted after {last}", event.at)
            if event.lease.token <= event.floor and event.lease != last:
                yield Violation("fencing", f"{event.lease} was granted, asked for above {event.floor}", event.at)
            highest[event.lease.resource] = event.lease
