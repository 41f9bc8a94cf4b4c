"""What a drill calls lag, and when it calls it normal."""

from __future__ import annotations

from jobkit.lab.drill.run import _healed_after
from jobkit.lab.drill.sampling import Sample, lag
from jobkit.lab.drill.script import Phase
from jobkit.ports.inspection import JobRecord, JobState
from jobkit.ports.store import Failure

NOW = 1_000.0
FAILURE = Failure(attempt=1, error="no", traceback="", owner="me", token=1, at=NOW)


def job(state: JobState, *, age: float, key: str = "k", failed: bool = False, ended: float | None = None) -> JobRecord:
    return JobRecord(
        id=f"{key}-{age}",
        type="drill.upload",
        key=key,
        sequence=1,
        state=state,
        owner=None,
        token=None,
        opens=0,
        failures=(FAILURE,) if failed else (),
        progress=0.0,
        message="",
        result=None,
        submitted_at=NOW - age,
        started_at=None,
        finished_at=None if ended is None else NOW - ended,
    )


def test_lag_is_that_of_the_oldest_that_waits_however_many_came_after_it() -> None:
    committed = [job(JobState.COMMITTED, age=0.06, ended=0.01) for _ in range(400)]
    waiting = [job(JobState.QUEUED, age=45.0), job(JobState.RUNNING, age=3.0)]
    assert lag(committed, waiting, NOW) == 45.0


def test_without_any_that_wait_lag_is_the_median_of_those_that_just_committed() -> None:
    took = [(0.02, 0.01), (0.06, 0.01), (9.0, 0.1)]
    committed = [job(JobState.COMMITTED, age=age, ended=ended) for age, ended in took]
    old = [job(JobState.COMMITTED, age=60.0, ended=30.0)] * 9
    assert round(lag([*committed, *old], [], NOW), 6) == 0.05
    assert lag(old, [], NOW) == 0.0


def test_a_session_that_waits_for_its_next_attempt_is_no_lag() -> None:
    waiting = [
        job(JobState.RUNNING, age=2.0, failed=True),
        job(JobState.QUEUED, age=1.5),
        job(JobState.QUEUED, age=0.5, key="other"),
    ]
    assert lag([], waiting, NOW) == 0.5


def samples(*lags: float) -> list[Sample]:
    return [
        Sample(float(at), Phase.HEALED, elections=0, claims=0, failed_claims=0, lag=one, committed=0, stale_writes=0)
        for at, one in enumerate(lags)
    ]


def test_it_is_healed_with_the_first_of_some_looks_that_are_all_normal() -> None:
    assert _healed_after(samples(9, 9, 5, 0.01, 0.2, 0.01, 0.01, 0.01, 0.01, 0.01, 3), 1.0) == 4.0


def test_it_is_not_healed_where_nobody_saw_it_last() -> None:
    assert _healed_after(samples(9, 0.01, 0.01, 0.01, 0.01), 1.0) is None
    assert _healed_after([], 1.0) is None
