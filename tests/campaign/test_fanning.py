"""Groups of pieces on whole workers in virtual time: the reader finds nothing, and what there is to be found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from jobkit.ops.verify import Violation, verify
from jobkit.plugin.checkpoints import KeptWork
from tests.campaign import broken
from tests.campaign.checker import left_to_do
from tests.campaign.fanning import Fanning
from tests.campaign.fanning_checker import fanning_findings
from tests.campaign.names import JOURNAL_VARIABLE
from tests.campaign.pieces import piece
from tests.campaign.schedule import SLICE, Schedule
from tests.faults.doubles import Faults
from tests.virtual_site import in_virtual_time, open_site

# By then all is done where nothing is wrong.
BOUND_SECONDS = 30.0
SCHEDULE = Schedule(3, replace(SLICE, trees=15), (), ())


async def _fanned_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Violation]:
    """Have groups submitted while one of two workers is killed; return what is wrong with what came of it."""
    journal = folder / "journal.jsonl"
    monkeypatch.setenv(JOURNAL_VARIABLE, str(journal))
    async with open_site(piece) as site:
        dying = site.start("a", faults=Faults(site.clock))
        site.start("b")
        fanning = Fanning(cast(Any, SimpleNamespace(site=site)), SCHEDULE, journal)

        async def done() -> bool:
            return not await left_to_do(site.planes, len(fanning.told.trees))

        async with anyio.create_task_group() as carers:
            carers.start_soon(fanning.look_after)
            async with anyio.create_task_group() as people:
                people.start_soon(fanning.run)
                await site.clock.sleep(2.0)
                await dying.crash()
            with anyio.move_on_after(BOUND_SECONDS):
                await site.until(done, 2 * BOUND_SECONDS)
            carers.cancel_scope.cancel()
        assert len(fanning.told.trees) == SCHEDULE.scale.trees
        assert fanning.told.cancelled
        found = await fanning_findings(site.planes.inspection, fanning.told, journal)
        return found + list((await verify(site.planes)).findings)


@in_virtual_time
async def test_groups_end_as_they_are_to_and_pieces_go_on_from_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await _fanned_out(tmp_path, monkeypatch) == []


@in_virtual_time
async def test_workers_that_look_for_no_kept_work_are_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KeptWork, "_kept", KeptWork._kept)
    broken.kept_work_is_not_looked_for()
    found = await _fanned_out(tmp_path, monkeypatch)
    assert "kept" in {violation.invariant for violation in found}
