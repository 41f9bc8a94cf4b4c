"""What a drill loses for good: which servers and workers go, what takes their place, and what is told of it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jobkit.lab.drill.environment import REGIONS, REPUBLISH_SECONDS, Site, WorkerProcess
from jobkit.lab.drill.loss import LOST_REGION, Loss, lose
from jobkit.lab.drill.script import Phase, script_for


@dataclass
class Server:
    """A server that only notes what is done to it."""

    name: str
    seen: list[str]

    @property
    def process(self) -> Server:
        return self

    def kill(self) -> None:
        self.seen.append(f"kill {self.name}")

    def start(self) -> None:
        self.seen.append(f"start {self.name}")

    def start_empty(self) -> None:
        self.seen.append(f"start {self.name} empty")


@dataclass
class Stage:
    """The servers of a drill, and the clock, which notes how long somebody sleeps."""

    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.broker, self.coordinator, self.store = (Server(name, self.seen) for name in ("broker", "leases", "store"))

    async def sleep(self, seconds: float) -> None:
        self.seen.append(f"wait {seconds:g}")


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[list[WorkerProcess]]:
    started = [
        WorkerProcess(region, region, 0, tmp_path / region, {}, subprocess.Popen(["/bin/sleep", "600"]))
        for region in REGIONS
    ]
    yield started
    for worker in started:
        worker.process.kill()
        worker.process.wait()


def _site(tmp_path: Path, servers: Any, workers: list[WorkerProcess]) -> Site:
    return Site(tmp_path, {}, "", servers, workers)


@pytest.mark.parametrize(
    ("loss", "gone", "back"),
    [
        (Loss.BROKER, {"kill broker"}, {"start broker empty"}),
        (Loss.COORDINATOR, {"kill leases"}, {"start leases empty"}),
        (
            Loss.REGION,
            {"kill broker", "kill leases", "kill store"},
            {"start broker empty", "start leases empty", "start store"},
        ),
    ],
)
async def test_what_is_lost_goes_at_once_and_comes_back_empty_but_for_the_store(
    loss: Loss, gone: set[str], back: set[str], tmp_path: Path, workers: list[WorkerProcess]
) -> None:
    stage = Stage()
    clock: Any = stage
    await lose(loss, _site(tmp_path, stage, workers), clock, 10)
    half = len(gone)
    assert set(stage.seen[:half]) == gone
    assert stage.seen[half] == "wait 10"
    assert set(stage.seen[half + 1 :]) == back
    # No region's workers but those that are lost with it.
    assert {worker.region for worker in workers if worker.lost} == ({LOST_REGION} if loss is Loss.REGION else set())
    for worker in workers:
        assert worker.process.wait() == -9 if worker.lost else worker.process.poll() is None


async def test_embedded_a_region_is_its_workers(tmp_path: Path, workers: list[WorkerProcess]) -> None:
    stage = Stage()
    clock: Any = stage
    await lose(Loss.REGION, _site(tmp_path, None, workers), clock, 10)
    assert stage.seen == ["wait 10"]
    assert [worker.region for worker in workers if worker.lost] == [LOST_REGION]


@pytest.mark.parametrize("loss", Loss)
def test_nothing_else_happens_and_there_is_time_to_recover(loss: Loss) -> None:
    script = script_for(15.0, lose=loss)
    assert [step.phase for step in script.steps] == [Phase.NORMAL, Phase.LOST, Phase.HEALED]
    assert script.told(Phase.LOST) == loss.told(embedded=False)
    assert script.seconds_of(Phase.HEALED) > 2 * REPUBLISH_SECONDS + 15.0
