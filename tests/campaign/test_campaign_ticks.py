"""A tick fires once: who fires is killed or stopped just then, again and again, and one clock is an hour off."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.campaign.campaign import Outcome, run_campaign
from tests.campaign.names import TICKS_APART_VARIABLE
from tests.campaign.schedule import SLICE, Fault, Schedule
from tests.campaign.servers import STORES, StoreKind

pytestmark = pytest.mark.skipif("CAMPAIGN" not in os.environ, reason="`make campaign` runs it")

_FEW = replace(SLICE, workers=3, jobs=30, keys=3, bound=60.0, errands=5, trees=0, films=0)
# At each of these the firing worker is killed or stopped as soon as it has fired; another one is at it by the next.
_KILLS = tuple(Fault("kill who fires, at a tick", at=1.0 + 3.0 * number) for number in range(6))
_STOPS = tuple(Fault("stop who fires, at a tick", seconds=3.0, at=2.5 + 6.0 * number) for number in range(3))


async def _ticking(root: Path, store: StoreKind, *faults: Fault, **extra: str) -> Outcome:
    environment: Mapping[str, str] = extra
    return await run_campaign(root, store, Schedule(1, _FEW, (), faults), extra=environment)


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
async def test_a_tick_fires_once_though_who_fires_it_is_killed_or_stopped(store: StoreKind, tmp_path: Path) -> None:
    outcome = await _ticking(tmp_path, store, *_KILLS, *_STOPS)
    assert not outcome.wrong, outcome.report()
    assert outcome.elections > 3 * len(_KILLS), outcome.report()


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
async def test_ticks_that_are_fired_apart_from_their_jobs_are_found_out(store: StoreKind, tmp_path: Path) -> None:
    """ticks: who is killed in between leaves one that never fires."""
    outcome = await _ticking(tmp_path, store, *_KILLS, **{TICKS_APART_VARIABLE: "0.4"})
    assert "ticks" in {found.invariant for found in outcome.wrong}, outcome.report()
