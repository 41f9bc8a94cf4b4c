"""What a store should do with the jobs of one key, said once more in the plainest way.

It keeps no times, no records and no outbox positions; `published` is the order in which ids went to the outbox.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from jobkit.model.fence import Fence
from jobkit.ports.inspection import JobState


@dataclass
class ModelJob:
    sequence: int | None
    state: JobState = JobState.QUEUED
    fence: tuple[int, str] | None = None
    opens: int = 0


@dataclass
class Model:
    """Answers are words: "Opened 2", "Gap 3 blocked", "Refused 7". A job has one place at most among the published."""

    mark: tuple[int, str] = (0, "")
    submitted: int = 0
    committed: int = 0
    jobs: dict[str, ModelJob] = field(default_factory=dict)
    given_up: set[int] = field(default_factory=set)
    parked: set[str] = field(default_factory=set)
    letters: list[str] = field(default_factory=list)
    published: list[str] = field(default_factory=list)
    effects: list[str] = field(default_factory=list)

    def submit(self, id: str, ordered: bool) -> str:
        if id in self.jobs:
            return "Known"
        self.submitted += ordered
        self.jobs[id] = ModelJob(self.submitted if ordered else None)
        self.published.append(id)
        return "Accepted"

    def open(self, id: str, fence: Fence) -> str:
        job = self.jobs[id]
        if job.state.ended:
            return "Duplicate"
        if not self._holds(fence):
            if fence.token <= self.mark[0]:
                return f"Stale {self.mark[0]}"
            self.mark = (fence.token, fence.nonce)
        if job.sequence is not None and job.sequence != self.committed + 1:
            if job.sequence in self.given_up:
                return f"Skipped {self.committed + 1}"
            return f"Gap {self.committed + 1} {'blocked' if self._blocked() else 'open'}"
        if job.fence != self.mark:
            job.opens += 1
        job.state, job.fence = JobState.RUNNING, self.mark
        return f"Opened {job.opens}"

    def commit(self, id: str, fence: Fence) -> str:
        job = self.jobs[id]
        if job.state is JobState.COMMITTED and job.fence == (fence.token, fence.nonce):
            return "Committed"
        if job.state.ended:
            return "Duplicate"
        in_turn = job.sequence in (None, self.committed + 1)
        if not self._holds(fence) or job.fence != self.mark or not in_turn:
            return f"Refused {self.mark[0]}"
        self._end(id, JobState.COMMITTED)
        self.effects.append(id)
        if job.sequence is not None:
            self.committed = job.sequence
            self._go_on()
        return "Committed"

    def bury(self, id: str, fence: Fence) -> str:
        job = self.jobs[id]
        if job.state.ended:
            return "Receipt"
        if not self._holds(fence):
            return f"Refused {self.mark[0]}"
        self._end(id, JobState.DEAD)
        self.letters.append(id)
        return "Receipt"

    def park(self, id: str) -> str:
        job = self.jobs[id]
        assert job.sequence is not None
        if job.state.ended:
            return "Receipt"
        if job.sequence <= self.committed + 1:
            self._publish(id)
        else:
            self.parked.add(id)
            self.published = [one for one in self.published if one != id]
            job.state = JobState.PARKED
        return "Receipt"

    def requeue(self, place: int) -> None:
        id = self.letters.pop(place)
        sequence = self.jobs[id].sequence
        if sequence is not None and sequence <= self.committed:
            sequence = self.submitted = self.submitted + 1
        self.jobs[id] = ModelJob(sequence)
        self._publish(id)

    def resume(self) -> int:
        return self._free(sorted(self.parked, key=self._sequence))

    def skip(self, before: int) -> int:
        self.given_up |= set(range(self.committed + 1, before))
        self.submitted = max(self.submitted, before - 1)
        return self._go_on()

    def cancel(self, id: str) -> tuple[bool, JobState | None]:
        job = self.jobs.get(id)
        if job is None or job.state.ended:
            return False, None if job is None else job.state
        self._end(id, JobState.CANCELLED)
        if job.sequence is not None:
            self.given_up.add(job.sequence)
            self._pass()
            if job.sequence <= self.committed:
                self._release()
        return True, JobState.CANCELLED

    def _go_on(self) -> int:
        self._pass()
        return self._release()

    def _pass(self) -> None:
        """What was given up is passed over."""
        while self.committed + 1 in self.given_up:
            self.committed += 1

    def _end(self, id: str, state: JobState) -> None:
        """It is nowhere any more. Where its turn was over, what is parked behind it is looked at."""
        job = self.jobs[id]
        job.state = state
        self.parked.discard(id)
        self.published = [one for one in self.published if one != id]
        if state is JobState.DEAD and job.sequence is not None and job.sequence <= self.committed:
            self._release()

    def _publish(self, id: str) -> None:
        self.published = [one for one in self.published if one != id] + [id]

    def _holds(self, fence: Fence) -> bool:
        return (fence.token, fence.nonce) == self.mark

    def _blocked(self) -> bool:
        dead = any(job.sequence == self.committed + 1 and job.state is JobState.DEAD for job in self.jobs.values())
        return dead or bool(self.parked)

    def _sequence(self, id: str) -> int:
        return self.jobs[id].sequence or 0

    def _release(self) -> int:
        following, expected = [], self.committed + 1
        for id in sorted(self.parked, key=self._sequence):
            if self._sequence(id) <= expected:
                following.append(id)
                expected = max(expected, self._sequence(id) + 1)
        return self._free(following)

    def _free(self, ids: list[str]) -> int:
        for id in ids:
            self.parked.discard(id)
            if self.jobs[id].state is JobState.PARKED:
                self.jobs[id].state = JobState.QUEUED
            self._publish(id)
        return len(ids)
