"""A slice of the campaign: real workers on real servers, everything going wrong at once, within a test's time.

The whole one is `make campaign`.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.campaign.campaign import run_campaign
from tests.campaign.schedule import LONG, SLICE, Fault, draw
from tests.campaign.servers import StoreKind

# With these, each fault comes up once or twice, and RabbitMQ, which is slow to start, is started twice for each store.
SEEDS: dict[StoreKind, int] = {"postgres": 11, "redis": 13}
# They take two minutes each, so `make test` runs one; `make campaign` runs both, and the whole.
_RUN = SEEDS if "CAMPAIGN" in os.environ else {"redis": SEEDS["redis"]}
# Encoding takes the processor, of which `make test` has none to spare.
_SCALE = SLICE if "CAMPAIGN" in os.environ else replace(SLICE, films=0)


@pytest.mark.slow
@pytest.mark.parametrize(("store", "seed"), _RUN.items())
async def test_nothing_is_lost_repeated_or_out_of_order_whatever_goes_wrong(
    store: StoreKind, seed: int, tmp_path: Path
) -> None:
    """single-effect, order, nothing-lost."""
    outcome = await run_campaign(tmp_path, store, draw(seed, _SCALE))
    assert not outcome.wrong, outcome.report()
    assert outcome.films == _SCALE.films


def test_a_seed_draws_the_same_faults_again_and_another_one_others() -> None:
    assert draw(1, LONG) == draw(1, LONG)
    assert draw(1, LONG).together != draw(2, LONG).together


def test_the_slices_have_every_fault_of_the_whole() -> None:
    every = {_what(fault) for fault in draw(1, LONG).alone}
    assert {_what(fault) for fault in draw(1, LONG).together} == every
    assert {_what(fault) for seed in SEEDS.values() for fault in draw(seed, SLICE).together} == every
    assert {_what(fault) for fault in draw(1, replace(SLICE, alone=True)).alone} == every


def _what(fault: Fault) -> tuple[str, str | None]:
    # Where the plane of a fault between a worker and a server is drawn, it may be any.
    return fault.kind, fault.plane if fault.worker is None or fault.kind == "cut the way" else None
