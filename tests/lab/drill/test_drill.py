"""The drill itself, on embedded backends: it holds, and without a protection it shows what that is there for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

campaign = pytest.mark.skipif("CAMPAIGN" not in os.environ, reason="`make campaign` runs it")


def drilled(tmp_path: Path, *options: str, embedded: bool = True) -> tuple[int, dict[str, Any], str]:
    """Run a drill as a user would; return its exit code, its document and what it said."""
    where = ["--embedded"] if embedded else []
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JOBKIT_")}
    leases = {"JOBKIT_LEASE_TTL": "3", "JOBKIT_LEASE_GUARD": "0.5"}
    done = subprocess.run(
        [sys.executable, "-m", "jobkit", "drill", *where, "--scale", "0.2", "--json", *options],
        cwd=tmp_path,
        env={**environment, **leases},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


@pytest.mark.slow
def test_nothing_breaks_with_all_protections(tmp_path: Path) -> None:
    code, document, said = drilled(tmp_path, "--html", "report.html")
    assert code == 0, (said, document.get("judgement"))
    assert document["holds"], said
    assert document["judgement"]["events"] > 100, said
    ticks = document["judgement"]["ticks"]
    assert ticks["ticks"] > 10, said
    assert (ticks["twice"], ticks["never"]) == ([], []), said
    # Whether it comes to that is the machine's to say; what came late is refused.
    (late,) = document["late_writes"]
    assert late["refused"] or not late["tried"], said
    assert "paused: one of the far region's workers is paused" in said, said
    assert "<svg" in (tmp_path / "report.html").read_text(), said


@campaign
@pytest.mark.slow
def test_without_sequences_events_are_applied_out_of_order(tmp_path: Path) -> None:
    code, document, said = drilled(tmp_path, "--broken", "sequence", "--rate", "60")
    assert code == 1, said
    assert document, said
    assert document["judgement"]["events_out_of_order"] > 0, said


@campaign
@pytest.mark.slow
def test_a_region_can_be_lost_with_its_workers(tmp_path: Path) -> None:
    code, document, said = drilled(tmp_path, "--lose", "region")
    assert code == 0, (said, document.get("judgement"))
    assert "lost: the near region's workers are killed" in said
    assert document["healed_after"] is not None, said


@campaign
@pytest.mark.slow
@pytest.mark.servers("rabbitmq", "redis", "postgres")
@pytest.mark.parametrize("loss", ["broker", "coordinator", "region"])
def test_servers_can_be_lost_with_all_their_data(loss: str, tmp_path: Path) -> None:
    code, document, said = drilled(tmp_path, "--lose", loss, embedded=False)
    assert code == 0, (said, document.get("judgement"))
    assert document["healed_after"] is not None, said


def test_options_that_cannot_work_are_told_before_anything_starts(tmp_path: Path) -> None:
    code, _, said = drilled(tmp_path, "--broken", "luck")
    assert code == 2
    assert "choose one of fencing, sequence, dedup, release, watch" in said
    code, _, said = drilled(tmp_path, "--lose", "broker")
    assert code == 2
    assert "all is in one file" in said
    code, _, said = drilled(tmp_path, "--html", "nowhere/report.html")
    assert code == 2
    assert "there is no directory" in said
