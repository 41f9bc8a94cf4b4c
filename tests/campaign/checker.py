"""Reads what was committed and says what is wrong with it, whatever the workers believed they did.

It reads through a way of its own that no fault lies on, and compares with what was submitted: the log of each key, the
tally that each job adds itself to, the state of each job, and what is left anywhere that should be empty.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from jobkit.ops.verify import Violation, verify
from jobkit.ports.inspection import LoggedEntry
from jobkit.ports.planes import Planes
from tests.campaign.names import TALLY, TYPE
from tests.campaign.plugin import Tally


async def left_to_do(planes: Planes, accepted: int) -> str:
    """Return what is not done yet, in words, or an empty string. Raises `Unavailable`."""
    counts = await planes.inspection.counts()
    ended = sum(number for state, number in counts.jobs.items() if state.ended)
    left = [f"{ended} of {accepted} jobs have ended"] * (ended < accepted)
    left += [f"{number} {state.value}" for state, number in counts.jobs.items() if number and not state.ended]
    left += [f"{counts.outbox} in the outbox"] * bool(counts.outbox)
    left += [f"{counts.shelved} in flight"] * bool(counts.shelved)
    left += [f"{counts.parked} parked"] * bool(counts.parked)
    left += [f"{counts.dead} dead"] * bool(counts.dead)
    if not left:
        messages = sum(depth.ready for depth in await planes.broker.depths())
        left += [f"{messages} messages"] * bool(messages)
        layouts = await planes.store.layouts()
        left += [f"partitions of {type}: {layout}" for type, layout in layouts.items() if not layout.settled]
    return ", ".join(left)


async def findings(
    planes: Planes, submitted: Mapping[str, Sequence[str]], cancelled: Collection[str] = frozenset()
) -> list[Violation]:
    """Return all that is wrong; `submitted` are the ids of each key's jobs, in the order they were accepted in.

    Of the `cancelled` ones a person was told that they are.
    """
    found: list[Violation] = []
    for key, ids in submitted.items():
        log = await planes.inspection.log(TYPE, key, limit=10 * len(ids) + 100)
        found += _effects(key, ids, log, cancelled)
        raw = await planes.store.record(TYPE, key, TALLY)
        found += _tally(key, log, Tally() if raw is None else Tally.model_validate_json(raw))
    counts = await planes.inspection.counts()
    for letter in await planes.inspection.dead() if counts.dead else ():
        found.append(Violation("nothing-lost", f"job {letter.id}", f"dead-lettered: {letter.reason}"))
    left = await left_to_do(planes, sum(map(len, submitted.values())))
    found += [Violation("nothing-lost", "store and broker", left)] * bool(left)
    return found + list((await verify(planes)).findings)


def _effects(
    key: str, ids: Sequence[str], log: Sequence[LoggedEntry], cancelled: Collection[str]
) -> Iterator[Violation]:
    """Each of the key's jobs took effect once, and in the order of their acceptance; no cancelled one did."""
    times = Counter(entry.job_id for entry in log)
    for id, number in times.items():
        if number > 1:
            yield Violation("single-effect", key, f"job {id} took effect {number} times")
    for id in [id for id in ids if id in cancelled and id in times]:
        yield Violation("cancelled", key, f"job {id} was cancelled, and took effect")
    missing = [id for id in ids if id not in times and id not in cancelled]
    if missing:
        yield Violation("nothing-lost", key, f"{len(missing)} jobs took no effect: {', '.join(missing[:5])}")
    if strange := times.keys() - set(ids):
        yield Violation("single-effect", key, f"took effect and were never accepted: {', '.join(sorted(strange))}")
    numbers = [json.loads(entry.data)["number"] for entry in log]
    if numbers != sorted(numbers) or [entry.sequence for entry in log] != numbers:
        yield Violation("order", key, f"took effect as {numbers}, sequences {[entry.sequence for entry in log]}")


def _tally(key: str, log: Sequence[LoggedEntry], tally: Tally) -> Iterator[Violation]:
    """What the jobs left is what those in the log leave one after another, so none wrote over another's effect."""
    expected = Tally()
    for entry in log:
        expected = expected.after(entry.job_id)
    if tally != expected:
        yield Violation("fencing", key, f"the tally is {tally}, its log makes {expected}")
