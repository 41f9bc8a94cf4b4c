"""Random histories of one key, step by step beside a model of what should come of them."""

from __future__ import annotations

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.ports.inspection import JobState
from jobkit.ports.store import (
    Accepted,
    Duplicate,
    Effects,
    Gap,
    Known,
    LogEntry,
    NewJob,
    Opened,
    Refused,
    Skipped,
    Stale,
)
from jobkit.testing.conformance.harness import FullStore
from jobkit.testing.conformance.store.model import Model
from jobkit.testing.conformance.values import envelope

JOBS = st.integers(0, 7)
# Two nonces for each token: after a coordinator lost its data, two may hold the same one.
FENCES = st.builds(lambda token, twin: Fence(token, f"n{token}{twin}", "somebody"), st.integers(1, 6), st.booleans())
STEPS = st.one_of(
    st.tuples(st.just("submit"), JOBS, st.just(None)),
    st.tuples(st.just("open"), JOBS, FENCES),
    st.tuples(st.just("commit"), JOBS, FENCES),
    st.tuples(st.just("do"), JOBS, FENCES),
    st.tuples(st.just("bury"), JOBS, FENCES),
    st.tuples(st.just("park"), JOBS, st.just(None)),
    st.tuples(st.just("requeue"), JOBS, st.just(None)),
    st.tuples(st.just("cancel"), JOBS, st.just(None)),
    st.tuples(st.just("skip"), st.integers(1, 3), st.just(None)),
    st.tuples(st.just("resume"), st.just(0), st.just(None)),
)
_histories = itertools.count()


def said(answer: object) -> str:
    """Return a store's answer in the model's words."""
    match answer:
        case Opened(opens=opens):
            return f"Opened {opens}"
        case Gap(expected=expected, blocked=blocked):
            return f"Gap {expected} {'blocked' if blocked else 'open'}"
        case Stale(mark=mark) | Refused(mark=mark):
            return f"{type(answer).__name__} {mark}"
        case Skipped(next_sequence=following):
            return f"Skipped {following}"
        case Accepted() | Known() | Duplicate() | Receipt():
            return type(answer).__name__
        case _:
            return type(answer).__name__


class History:
    """A key of its own in a store that other histories use too, beside its model."""

    def __init__(self, store: FullStore) -> None:
        self.store = store
        self.model = Model()
        self.key = f"key {next(_histories)}"
        self.jobs: dict[int, Envelope] = {}
        self.letters: list[int] = []

    def id(self, number: int) -> str:
        return f"{self.key}/{number}"

    async def take(self, action: str, number: int, fence: Fence | None) -> None:
        if action in ("open", "commit", "do", "bury", "park") and number not in self.jobs:
            return
        if action == "do":
            await self.take("open", number, fence)
            await self.take("commit", number, fence)
        else:
            await getattr(self, f"_{action}")(number, fence)

    async def _submit(self, number: int, _: Fence | None) -> None:
        # Every fourth job has no order.
        job = NewJob(envelope(self.id(number), key=self.key), ordered=number % 4 != 3)
        (answer,) = await self.store.submit([job])
        assert said(answer) == self.model.submit(self.id(number), job.ordered)
        assert isinstance(answer, Accepted | Known)
        self.jobs[number] = answer.envelope
        assert answer.envelope.sequence == self.model.jobs[self.id(number)].sequence

    async def _open(self, number: int, fence: Fence) -> None:
        assert said(await self.store.open(self.jobs[number], fence)) == self.model.open(self.id(number), fence)

    async def _commit(self, number: int, fence: Fence) -> None:
        effects = Effects(entries=[LogEntry("done", b"null")])
        answer = await self.store.commit(self.jobs[number], fence, effects)
        assert said(answer) == self.model.commit(self.id(number), fence)

    async def _bury(self, number: int, fence: Fence) -> None:
        before = len(self.model.letters)
        answer = await self.store.bury(self.jobs[number], fence, reason="hopeless")
        assert said(answer) == self.model.bury(self.id(number), fence)
        if len(self.model.letters) > before:
            self.letters.append((await self.store.dead(limit=100_000))[-1].number)

    async def _park(self, number: int, _: Fence | None) -> None:
        if self.jobs[number].sequence is not None:
            assert said(await self.store.park(self.jobs[number], reason="gap")) == self.model.park(self.id(number))

    async def _requeue(self, number: int, _: Fence | None) -> None:
        if self.letters:
            place = number % len(self.letters)
            requeued = await self.store.requeue_dead(self.letters.pop(place))
            assert requeued in self.jobs.values()
            self.model.requeue(place)

    async def _cancel(self, number: int, _: Fence | None) -> None:
        (answer,) = await self.store.cancel([self.id(number)], by="ann", reason="")
        assert (answer.cancelled, answer.state) == self.model.cancel(self.id(number))

    async def _skip(self, count: int, _: Fence | None) -> None:
        before = self.model.committed + 1 + count
        assert await self.store.skip_gap("t", self.key, before=before) == self.model.skip(before)

    async def _resume(self, _: int, __: Fence | None) -> None:
        assert await self.store.resume_gap("t", self.key) == self.model.resume()

    async def check(self) -> None:
        """Compare all that can be seen of the key with the model."""
        model = self.model
        states = {job.id: job.state for job in await self.store.jobs(key=self.key, limit=1_000)}
        assert states == {id: job.state for id, job in model.jobs.items()}
        log = await self.store.log("t", self.key)
        assert [entry.job_id for entry in log] == model.effects
        assert [entry.position for entry in log] == list(range(1, len(log) + 1))
        assert [entry.token for entry in log] == sorted(entry.token for entry in log)
        sequences = [entry.sequence for entry in log if entry.sequence is not None]
        assert sequences == sorted(set(sequences))
        outbox = await self.store.outbox(older_than=-1, limit=100_000)
        assert [entry.envelope.id for entry in outbox if entry.envelope.key == self.key] == model.published
        key = await self.store.key("t", self.key)
        found = (0, "", 0, 0) if key is None else (
            key.token, key.nonce, key.submitted_sequence, key.committed_sequence
        )  # fmt: skip
        assert found == (*model.mark, model.submitted, model.committed)
        gaps = {gap.key: gap.parked for gap in await self.store.gaps()}
        assert gaps.get(self.key, 0) == len(model.parked)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, min_size=5, max_size=40))
async def test_every_history_of_a_key_goes_as_the_model_says(
    store: FullStore, steps: list[tuple[str, int, Fence | None]]
) -> None:
    history = History(store)
    for number in range(4):
        await history.take("submit", number, None)
    for action, number, fence in steps:
        await history.take(action, number, fence)
    await history.check()
    counts = await store.counts()
    assert sum(counts.jobs.values()) == len(await store.jobs(limit=100_000))
    assert counts.jobs[JobState.PARKED] == counts.parked
