"""What is made of the figures: ratios, sums and quantiles."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jobkit.lab.bench.processes import BenchFailed, read_account, write_account
from jobkit.lab.bench.report import Account, BenchReport, Ceilings, Drain, HotKey, Latency, MemoryPoint, Renewal, Round

USED = Account(1.5, 10, 20)
NOTHING = Latency(2, 0, 0, 0, 0)


def drain(rate: float, *, workers: int = 1, memory: tuple[tuple[int, int], ...] = ((100, 1),)) -> Drain:
    return Drain(workers, 100, rate, 1.0, USED, [MemoryPoint(committed, size) for committed, size in memory])


def report(*rounds: Round) -> BenchReport:
    return BenchReport("rabbitmq", "redis", "redis", rounds, NOTHING, NOTHING, Renewal(1000, 1, 5.0))


def test_a_ratio_compares_what_was_measured_in_one_round() -> None:
    """A machine that is slow for one round is slow for both sides of it."""
    found = report(
        Round(40, [drain(80)], Ceilings(100, 1000, 100)),
        Round(10, [drain(18)], Ceilings(20, 1000, 20)),
        Round(500, [drain(900)], Ceilings(1000, 1000, 1000)),
    )
    assert found.ratio("publish") == 0.5
    assert found.ratio("scripted", 1) == 0.9


def test_jobs_for_each_round_trip_are_those_that_end_while_one_lasts() -> None:
    assert HotKey(30, 500.0, 15.0).for_each_round_trip == pytest.approx(1.0)
    assert HotKey(30, 500.0, 30.0).rate == pytest.approx(1.0)


def test_a_ratio_is_that_of_the_workers_asked_for() -> None:
    found = report(Round(1, [drain(30), drain(60, workers=2)], Ceilings(1, 100, 100)))
    assert (found.ratio("consume", 1), found.ratio("consume", 2)) == (0.3, 0.6)
    assert (found.drain_rate(1), found.drain_rate(2)) == (30, 60)


def test_without_a_ceiling_there_is_no_ratio() -> None:
    assert report(Round(50, [drain(90)], None)).ratio("publish") is None
    assert report(Round(50, [drain(90)], Ceilings(1, 1, None))).ratio("scripted", 1) is None


def test_memory_grows_from_a_quarter_on() -> None:
    """Before that a process is still warming up."""
    assert drain(1, memory=((10, 10), (24, 50), (25, 100), (60, 500), (100, 120))).memory_growth == pytest.approx(0.2)


def test_accounts_add_up_and_what_one_does_not_count_is_not_known() -> None:
    assert Account.total([USED, USED]) == Account(3.0, 20, 40)
    assert Account.total([USED, Account(1.0, None, 1)]) == Account(2.5, None, 21)


def test_quantiles_are_of_all_values() -> None:
    assert Latency.of([float(value) for value in range(101)]) == Latency(101, 50, 90, 99, 100)


def test_a_worker_that_wrote_nothing_is_an_error(tmp_path: Path) -> None:
    write_account(tmp_path / "one.json", USED)
    assert read_account(tmp_path / "one.json") == USED
    with pytest.raises(BenchFailed, match="without reporting"):
        read_account(tmp_path / "other.json")


def test_ceilings_that_cannot_be_measured_tell_no_password() -> None:
    """What is asked comes by stdin, never by the command line."""
    asked = json.dumps({"broker_url": "amqp://u:secret@127.0.0.1:1/", "redis_url": None, "jobs": 1})
    done = subprocess.run(
        [sys.executable, "-m", "jobkit.lab.bench.ceilings"], input=asked, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "secret" not in done.stdout + done.stderr
