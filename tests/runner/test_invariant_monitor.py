"""The ledger notices what a store that keeps its promises never does, and nothing else."""

from __future__ import annotations

import pytest

from jobkit.leases import Lease
from jobkit.model.envelope import Envelope
from jobkit.ports.coordinator import LeaseRef
from jobkit.runner import invariant_monitor as module
from jobkit.runner.decode import Job
from jobkit.runner.invariant_monitor import InvariantMonitor
from jobkit.testing.conformance.manual_clock import ManualClock
from tests.steps import Step, step
from tests.witness import Witness


class Book:
    """A ledger, and a short way to enter commits."""

    def __init__(self, retention: float = 7 * 86_400.0) -> None:
        self.clock = ManualClock()
        self.witness = Witness()
        self.invariants = InvariantMonitor(retention, self.clock, self.witness.telemetry)

    def commit(self, id: str, token: int, sequence: int | None = None, *, key: str = "k", nonce: str = "") -> None:
        envelope = Envelope(id, "step", b"", key=key, sequence=sequence)
        ref = LeaseRef(f"step/{key}", token, nonce or f"n{token}")
        self.invariants.committed(Job(envelope, step, Step()), Lease(ref, "me", 1e9, self.clock))

    @property
    def found(self) -> list[str]:
        return [line["invariant"] for line in self.witness.log if line["log_level"] == "critical"]


def test_commits_in_order_under_rising_tokens_are_fine() -> None:
    book = Book()
    for number in range(1, 20):
        book.commit(f"j{number}", number, number)
    book.commit("other", 1, 1, key="elsewhere")
    assert book.found == []


def test_a_commit_that_was_asked_for_twice_under_one_fence_is_fine() -> None:
    book = Book()
    book.commit("a", 1, 1)
    book.commit("a", 1, 1)
    assert book.found == []


def test_an_id_that_commits_again_is_a_duplicate_effect() -> None:
    book = Book()
    book.commit("a", 1)
    book.commit("a", 2)
    assert book.found == ["single-effect"]
    assert book.witness.count("jobkit.violations", {"invariant": "single-effect"}) == 1


@pytest.mark.parametrize(("token", "nonce"), [(4, "n4"), (5, "another")], ids=["lower", "equal"])
def test_a_commit_under_a_stale_token_breaks_the_fence(token: int, nonce: str) -> None:
    book = Book()
    book.commit("a", 5)
    book.commit("b", token, nonce=nonce)
    assert book.found == ["fencing"]


@pytest.mark.parametrize("sequence", [2, 1])
def test_a_sequence_that_does_not_rise_breaks_the_order(sequence: int) -> None:
    book = Book()
    book.commit("a", 1, 2)
    book.commit("b", 2, sequence)
    assert book.found == ["order"]


def test_what_the_store_may_have_forgotten_begins_anew() -> None:
    book = Book(retention=60.0)
    book.commit("a", 5, 5)
    book.clock.advance(61.0)
    book.commit("a", 1, 1)
    assert book.found == []


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 3)
    book = Book()
    for number in range(10):
        book.commit(f"j{number}", 1, key=f"k{number}")
    book.commit("j9", 2, key="k9")
    book.commit("j0", 2, key="k0")
    assert book.found == ["single-effect"]
    assert len(book.invariants._by_id) == len(book.invariants._by_key) == 3
