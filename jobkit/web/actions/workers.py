"""Workers: a partition handed over to one, and one that drains and ends."""

from __future__ import annotations

from jobkit.model.partition import Partition
from jobkit.ops.workforce import WorkerRefused, able, dismiss, hand_over
from jobkit.web.actions.action import Action, Ask, Done, Proposal, Refused, told
from jobkit.web.page import NotFound, View

_PAGE = "/workers"


def _partition(view: View) -> Partition:
    index = told(view, "partition")
    if not index.isdecimal():
        raise NotFound(f"There is no partition {index!r}.")
    return Partition(told(view, "type"), int(index))


async def _propose_hand_over(view: View) -> Proposal:
    partition = _partition(view)
    leases = await view.planes.coordinator.leases(partition.resource)
    leader = next((lease.owner for lease in leases if lease.resource == partition.resource), None)
    members = await view.planes.coordinator.members()
    others = tuple(owner for owner in able(members, partition.type) if owner != leader)
    if not others:
        raise Refused(f"No other worker is alive that serves {partition.type}.")
    text = (
        f"{leader or 'Nobody'} leads {partition} now. The worker that you choose takes it over within some seconds, "
        "and keeps it as long as it lives. What runs goes on, and the others share the rest."
    )
    asks = (Ask("owner", "To which worker?", others[0], others),)
    return Proposal(f"Hand {partition} over?", text, "Hand it over", _PAGE, grave=False, asks=asks)


async def _hand_over(view: View) -> Done:
    partition, owner = _partition(view), told(view, "owner")
    try:
        partitions = await view.partitions(partition.type)
        await hand_over(view.planes.coordinator, partition, owner, partitions=partitions)
    except WorkerRefused as error:
        raise Refused(str(error)) from error
    return Done(f"partition {partition}", f"to {owner}", f"{partition} is handed over to {owner}.", _PAGE)


async def _propose_drain(view: View) -> Proposal:
    owner = told(view, "owner")
    text = (
        f"{owner} begins no more jobs, hands its partitions over, finishes what it runs, and ends, within some seconds "
        "and its time to drain. Whatever starts workers here may start another one."
    )
    return Proposal("Drain this worker?", text, "Drain it", _PAGE)


async def _drain(view: View) -> Done:
    owner = told(view, "owner")
    try:
        await dismiss(view.planes.coordinator, owner)
    except WorkerRefused as error:
        raise Refused(str(error)) from error
    return Done(f"worker {owner}", "drained", f"{owner} is asked to drain and end.", _PAGE)


ACTIONS = (
    Action("hand-over", _propose_hand_over, _hand_over),
    Action("drain", _propose_drain, _drain),
)
