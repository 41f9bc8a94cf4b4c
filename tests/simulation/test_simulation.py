"""Real workers under random schedules in virtual time: nothing that they commit breaks an invariant.

`pytest tests/simulation --seeds 2000` (or SIMULATION_SEEDS=2000) runs more schedules, `--seed N` runs one again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobkit.testing.virtual_time import running_loop
from simulation.events import Trouble
from simulation.network import Node
from simulation.schedule import CHANGE_STEPS, LOSS_STEPS, STEPS, TICK_STEPS, WHEN, Schedule
from simulation.simulate import simulate
from simulation.turns import digest_of_turns
from simulation.work import LOOSE, ORDERED, Order, Work

# `make campaign` runs many more.
DEFAULT_SEEDS = 10


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        # The options are unknown where pytest was not started on this directory.
        only = metafunc.config.getoption("seed", default=None)
        many = metafunc.config.getoption("seeds", default=None) or int(
            os.environ.get("SIMULATION_SEEDS", DEFAULT_SEEDS)
        )
        metafunc.parametrize("seed", range(many) if only is None else [only])


def test_random_schedules_break_no_invariant(seed: int) -> None:
    outcome = simulate(seed)
    if outcome.broken:
        pytest.fail(outcome.report(), pytrace=False)


# Many jobs that do not fail, while workers come and go and lose their leases, and numbers of partitions change.
CHANGING = Schedule(
    plain=True,
    jobs=300,
    every=3.0,
    troubles=(("change partitions", 2), ("restart", 2), ("slow coordinator", 2)),
    cancels=0.0,
)


@pytest.mark.parametrize("which", [2, 4, 11, 12] if "CAMPAIGN" in os.environ else [2])
def test_jobs_run_in_the_order_of_their_submission_while_numbers_of_partitions_change(which: int) -> None:
    """order: of those without a sequence, too, and of those with one none has to wait for one that comes later."""
    outcome = simulate(which, CHANGING)
    assert not outcome.broken, outcome.report()
    assert [said for said in outcome.history.said if said.event.startswith("gap in sequence")] == []


# A little of everything, so that each step of the way of a job is reached: retries, dead letters, follow-ups, and a
# job that holds its delivery too long.
_ORDERS = [
    Order(2.0 * number, type, f"{type}-{work.key}-{number}", work)
    for number in range(3)
    for type, work in (
        (ORDERED, Work(key="a", number=number, fails=number % 2, keeps=True)),
        (ORDERED, Work(key="b", number=number, steps=(0.5, 9.0, 0.5) if number == 1 else (0.1,), follow=2)),
        (LOOSE, Work(key="c", number=number, fails=number % 2, follow=1)),
        (LOOSE, Work(key="d", number=number, rejected=number == 1)),
    )
]
# What happens to each worker as it first comes to a step: one dies there, two stop for longer than a lease lives.
_STOPS = {"w1.1": None, "w2.1": 20.0, "w3.1": 7.0}
_ALL_STEPS = STEPS + LOSS_STEPS + CHANGE_STEPS + TICK_STEPS
# One to each of before, during and after; `make campaign` has each of them happen at each.
_TURNS = [
    (step, turn)
    for number, step in enumerate(_ALL_STEPS)
    for turn in (range(len(WHEN)) if "CAMPAIGN" in os.environ else [number % len(WHEN)])
]


@pytest.mark.parametrize(("step", "turn"), _TURNS)
def test_processes_may_stop_at_each_step_of_the_way_of_a_job(step: str, turn: int) -> None:
    whens = dict(zip(_STOPS, WHEN[turn:] + WHEN[:turn], strict=True))

    def lay_trap(node: Node) -> None:
        if node.name in _STOPS:
            node.trap(step, whens[node.name], pause=_STOPS[node.name])

    troubles = (("lose messages", 1.0),) if step in LOSS_STEPS else ()
    troubles = (("change partitions", 1.0),) if step in CHANGE_STEPS else troubles
    # Queues are removed only once nobody has asked for another change for a while.
    storm, every = (60.0, 10.0) if step == "broker.remove" else (12.0, 1.0)
    schedule = Schedule(storm=storm, every=every, troubles=troubles, ticking=step in TICK_STEPS)
    outcome = simulate(1, schedule, orders=list(_ORDERS), on_start=lay_trap)
    stopped = [
        event.node
        for event in outcome.history.events
        if isinstance(event, Trouble) and event.node in _STOPS and event.what.startswith(("crashes", "pauses"))
    ]
    assert stopped, f"no worker came to {step}, so nothing was tested"
    assert not outcome.broken, outcome.report()


def test_a_run_without_trouble_is_quick_and_quiet() -> None:
    outcome = simulate(1, Schedule(storm=20.0, troubles=()), orders=list(_ORDERS))
    assert not outcome.broken, outcome.report()
    loud = [said for said in outcome.history.said if said.level in {"warning", "error"}]
    planned = {"attempt failed", "attempt failed, no more attempts", "dead-lettered"}
    assert [said for said in loud if said.event not in planned] == []
    assert outcome.seconds < 60


# ---- determinism -------------------------------------------------------------------------------------------------

_DIGESTS = """
import sys
sys.path[:0] = sys.argv[1:2]
from simulation.turns import digest_of_turns
print(digest_of_turns(5))
"""


def test_a_seed_replays_exactly_in_another_interpreter_too() -> None:
    here = digest_of_turns(5)
    command = [sys.executable, "-c", _DIGESTS, str(Path(__file__).parents[1])]
    for hash_seed in ("0", "1"):
        # Strings hash differently in each interpreter, and objects by address: no order may come from a set of them.
        there = subprocess.check_output(command, text=True, env={**os.environ, "PYTHONHASHSEED": hash_seed})
        assert there.strip() == here
    assert digest_of_turns(8) != here


def test_a_failing_seed_prints_how_to_replay_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulation.simulate.PROGRESS_MARGIN", -1_000.0)
    report = simulate(5).report()
    assert "progress" in report
    assert "pytest tests/simulation/test_simulation.py -k random_schedules --seed 5" in report
    with pytest.raises(RuntimeError):
        running_loop()
