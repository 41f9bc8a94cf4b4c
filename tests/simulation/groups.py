"""The groups that jobs of a simulation make, and what becomes of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from simulation.events import Cancelled, Event, LeftOpen, Step, Write
from simulation.expectation import Members, Violation
from simulation.work import LOOSE, Work, closing_type, member_id, then_id


def groups_of(maker: str, work: Work) -> Iterator[tuple[str, str, Work]]:
    """Yield the `then` of each group that a job and its members may make, with who makes it and of what."""
    if work.group:
        yield then_id(maker), maker, work
        for number, member in enumerate(work.group):
            yield from groups_of(member_id(maker, number), member)


def waiting_members(maker: str, work: Work) -> set[str]:
    """Return the ids of those that somebody has to look after where they die, for their group waits for them."""
    found: set[str] = set()
    for _, made_by, made in groups_of(maker, work):
        if made.on_failure == "wait":
            for number, member in enumerate(made.group):
                id = member_id(made_by, number)
                found |= {id} | ({then_id(id)} if member.group else set())
    return found


@dataclass
class Settled:
    """What becomes of groups where all goes well: who is in each, who dies, and of which type and key each is."""

    cancelled: Collection[str]
    members: dict[str, Members] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    keys: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, maker: str, work: Work) -> str:
        """Take in the group that a job makes as it commits, and those within it; return its `then`."""
        ids: list[str] = []
        # Where a group waits, somebody looks after those that die, and they do not die again.
        waits = work.on_failure == "wait"
        for number, member in enumerate(work.group):
            id = member_id(maker, number)
            ids.append(id)
            self.keys[id] = (LOOSE, member.key)
            if member.rejected and not waits:
                self.dead |= {id} - set(self.cancelled)
            elif member.group and id not in self.cancelled:
                # Its place in the group goes on to what closes its own.
                ids.append(self.add(id, member))
        if waits:
            self.dead -= set(ids)
        then = then_id(maker)
        self.keys[then] = (closing_type(work), work.key)
        failed = self.dead.intersection(ids) or set(self.cancelled).intersection(ids)
        if failed and work.on_failure != "run" and then not in self.cancelled:
            self.dead.add(then)
        self.members[then] = Members(tuple(ids), waits=waits)
        return then


def then_comes_last(
    events: Sequence[Event], groups: Mapping[str, Members], dead: Collection[str]
) -> Iterator[Violation]:
    """No job that closes a group begins before each of its members has ended, for good where it waits for them.

    That it does begin then, and takes effect once or dies as its group says, is asked of it as of any accepted job.
    """
    ended: set[str] = set()
    buried: set[str] = set()

    def over(id: str, *, waits: bool) -> bool:
        if id in ended or (id in buried and not waits):
            return True
        # What closes a group dies with the last of its members.
        return id in dead and id in groups and all(over(one, waits=groups[id].waits) for one in groups[id].ids)

    for event in events:
        match event:
            case Write(_, "commit", _, job) | Cancelled(_, job):
                ended.add(job)
            case Write(_, "bury", _, job):
                buried.add(job)
            case Step(at, _, _, job) if job in groups:
                left = [member for member in groups[job].ids if not over(member, waits=groups[job].waits)]
                if left:
                    yield Violation("groups", f"{job} began before {', '.join(left)} ended", at)


def settled_at_once(events: Sequence[Event]) -> Iterator[Violation]:
    """Whatever ends the last member of a group settles it in the same transaction."""
    for event in events:
        if isinstance(event, LeftOpen):
            yield Violation("groups", f"all members of {event.then} had ended, and it was not released", event.at)
