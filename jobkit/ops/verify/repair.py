"""Doing what a verdict allows to be done without a person's judgement.

Each repair decides anew, under the store's own rules, whether it is still needed; so a plan that is out of date does no
harm, and neither does one that is carried out twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jobkit.client.relay import Relay
from jobkit.ops.verify.finding import Action, Finding, Repair
from jobkit.ops.verify.queues import OUTBOX_STALE_SECONDS
from jobkit.ports.broker import Published
from jobkit.ports.planes import Planes
from jobkit.projections.projection import Projection
from jobkit.projections.rebuild import Outcome, Rebuilder

_PAGE = 500


def plan(findings: Iterable[Finding]) -> list[Repair]:
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
    wanted = [one for one in projections.get(repair.type, ()) if one.name == repair.name]
    done = [one async for one in rebuilder.run(repair.type, wanted, key=repair.key)]
    return "; ".join(one.problem or _OUTCOMES.get(one.outcome, one.outcome.value) for one in done) or "it is gone"


_OUTCOMES = {Outcome.SAME: "it is right meanwhile", Outcome.REBUILT: "made anew"}


async def _publish(planes: Planes, relay: Relay) -> str:
    published = after = 0
    reasons: dict[str, None] = {}
    while left := await planes.store.outbox(older_than=OUTBOX_STALE_SECONDS, limit=_PAGE, after=after):
        after = left[-1].position
        for answer in await relay.publish(left):
            if isinstance(answer, Published):
                published += 1
            else:
                reasons[answer.reason] = None
    return "; ".join([f"published {published} jobs", *(f"not all: {reason}" for reason in reasons)])
