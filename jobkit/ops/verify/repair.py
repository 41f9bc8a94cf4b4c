"""Doing what a verdict allows to be done without a person's judgement.

Each repair decides anew, under the store's own rules, whether it is still needed; so a plan that is out of date does no
harm, and neither does one that is carried out twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jobkit.client.relay import Relay
from jobkit.model.partition import Partition
from jobkit.ops.verify.lost_jobs import OUTBOX_STALE_SECONDS
from jobkit.ops.verify.violation import Action, Repair, Violation
from jobkit.ops.verify.whereabouts import adrift
from jobkit.ports.broker import Published
from jobkit.ports.planes import Planes
from jobkit.projections.projection import Projection
from jobkit.projections.rebuild import Rebuilder, RebuildOutcome

_PAGE = 500


def plan(findings: Iterable[Violation]) -> list[Repair]:
    """Return the repairs that the findings allow, each once."""
    return list(dict.fromkeys(found.repair for found in findings if found.repair is not None))


async def carry_out(
    repair: Repair,
    planes: Planes,
    rebuilder: Rebuilder,
    relay: Relay,
    projections: Mapping[str, Sequence[Projection[Any]]],
) -> str:
    """Do one repair and return what came of it, as a sentence.

    Raises `Unavailable`, or `ConfigurationError` where the broker takes no such message.
    """
    if repair.action is Action.PUBLISH:
        return await _publish(planes, relay)
    if repair.action is Action.REPUBLISH and repair.partition is not None:
        return await _republish(planes, relay, Partition(repair.type, repair.partition))
    wanted = [one for one in projections.get(repair.type, ()) if one.name == repair.name]
    done = [one async for one in rebuilder.run(repair.type, wanted, key=repair.key)]
    return "; ".join(one.problem or _OUTCOMES.get(one.outcome, one.outcome.value) for one in done) or "it is gone"


_OUTCOMES = {RebuildOutcome.SAME: "it is right meanwhile", RebuildOutcome.REBUILT: "made anew"}


async def _publish(planes: Planes, relay: Relay) -> str:
    published = after = 0
    reasons: dict[str, None] = {}
    while left := await planes.store.outbox(older_than=OUTBOX_STALE_SECONDS, limit=_PAGE, after=after):
        after = left[-1].position
        for answer in await relay.publish(left, swept=relay.generation):
            if isinstance(answer, Published):
                published += 1
            else:
                reasons[answer.reason] = None
    return "; ".join([f"published {published} jobs", *(f"not all: {reason}" for reason in reasons)])


async def _republish(planes: Planes, relay: Relay, partition: Partition) -> str:
    """Put all jobs of the partition that need a message into the outbox, and publish them from there."""
    layout = (await planes.store.layouts()).get(partition.type)
    queues = sum(depth.partition.type == partition.type for depth in await planes.broker.depths())
    partitions = queues if layout is None else layout.partitions
    ids = [job.envelope.id async for job in adrift(planes, partition, partitions, await planes.store.horizon())]
    found: set[str] = set()
    for start in range(0, len(ids), _PAGE):
        found |= set(await planes.inspection.republish(ids[start : start + _PAGE]))
    after = 0
    while page := await planes.store.outbox(older_than=-1, limit=_PAGE, after=after):
        after = page[-1].position
        await relay.publish([entry for entry in page if entry.envelope.id in found])
    return f"published {len(found)} jobs again"
