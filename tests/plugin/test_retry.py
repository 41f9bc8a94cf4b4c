"""Retry policies: plain functions of an error and a count."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobkit import Reject, Retry, RetryPolicy

SEED = 7


def _delay(policy: RetryPolicy, error: Exception, attempt: int) -> float | None:
    return policy.delay(error, attempt, random.Random(SEED))


def test_without_jitter_the_waits_double_up_to_the_maximum() -> None:
    policy = RetryPolicy(max_attempts=10, jitter=0, maximum=timedelta(seconds=10))
    assert [_delay(policy, Retry(), attempt) for attempt in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_the_last_attempt_is_the_last() -> None:
    policy = RetryPolicy(max_attempts=3)
    assert _delay(policy, Retry(), 2) is not None
    assert _delay(policy, Retry(), 3) is None
    assert _delay(RetryPolicy(max_attempts=1), Retry(after=timedelta(0)), 1) is None


def test_a_rejection_is_never_tried_again() -> None:
    assert _delay(RetryPolicy(on=(Exception,)), Reject("no"), 1) is None


def test_only_named_errors_are_tried_again_and_retry_always_is() -> None:
    policy = RetryPolicy(on=(OSError,))
    assert _delay(policy, ConnectionError(), 1) is not None
    assert _delay(policy, ValueError(), 1) is None
    assert _delay(policy, Retry(), 1) is not None
    assert _delay(RetryPolicy(on=()), Retry(), 1) is not None


def test_a_processors_own_wait_is_taken_as_it_is() -> None:
    policy = RetryPolicy(maximum=timedelta(seconds=1))
    assert _delay(policy, Retry(after=timedelta(hours=1)), 1) == 3600
    assert _delay(policy, Retry(after=timedelta(seconds=-1)), 1) == 0


def test_jitter_spreads_the_waits_of_jobs_that_failed_together() -> None:
    rng = random.Random(SEED)
    policy = RetryPolicy(initial=timedelta(seconds=100), jitter=0.25)
    waits = [policy.delay(Retry(), 1, rng) or 0 for _ in range(200)]
    assert len(set(waits)) > 190
    assert min(waits) >= 75
    assert max(waits) <= 100
    assert max(waits) - min(waits) > 20


policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 10_000),
    initial=st.timedeltas(timedelta(0), timedelta(days=1)),
    factor=st.floats(1, 1_000),
    maximum=st.timedeltas(timedelta(days=1), timedelta(days=300)),
    jitter=st.floats(0, 1),
)


@given(policies, st.integers(1, 10_000), st.integers())
def test_every_wait_is_finite_and_bounded(policy: RetryPolicy, attempt: int, seed: int) -> None:
    """bounded."""
    wait = policy.delay(Retry(), attempt, random.Random(seed))
    if attempt >= policy.max_attempts:
        assert wait is None
    else:
        assert wait is not None
        assert 0 <= wait <= policy.maximum.total_seconds()


@given(policies, st.integers(1, 100))
def test_without_jitter_waits_never_get_shorter(policy: RetryPolicy, attempt: int) -> None:
    steady = RetryPolicy(10_000, policy.initial, policy.factor, policy.maximum, 0)
    first, second = (_delay(steady, Retry(), number) for number in (attempt, attempt + 1))
    assert first is not None
    assert second is not None
    assert first <= second


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"initial": timedelta(seconds=-1)},
        {"initial": timedelta(hours=1), "maximum": timedelta(minutes=1)},
        {"factor": 0.5},
        {"factor": float("nan")},
        {"factor": float("inf")},
        {"factor": 1e9},
        {"jitter": -0.1},
        {"jitter": 1.1},
        {"jitter": float("nan")},
    ],
    ids=str,
)
def test_a_policy_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryPolicy(**wrong)
