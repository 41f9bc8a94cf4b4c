"""The lowest rendition first: what whoever watches finds meanwhile, and what it must not take the place of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError
from split_bench import SplitSite, split_site
from transcode_bench import FFMPEG, Samples

from jobkit import Context, Reject
from jobkit.model.job_state import JobState
from tests.media.numbered import numbered_picture
from workers.transcode import Transcode, processor
from workers.transcode.check_outputs import Checked, check_outputs
from workers.transcode.hls import parse_master_playlist, parse_media_playlist
from workers.transcode.job_tools import Bench
from workers.transcode.lowest_first import has_awaited, lowest_first, require_no_files
from workers.transcode.plan import TranscodePlan
from workers.transcode.target_quality import reach_quality


@pytest.fixture
def source(samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set the plugin up for two renditions, and return a source of 4 s, which is not split unless that is asked for."""
    given = {
        "source_roots": str(tmp_path),
        "ffmpeg": FFMPEG,
        "preset": "ultrafast",
        "segment_seconds": "1",
        "chunk_seconds": "2",
        "threads": "1",
        "ladder": "32,16",
        "nice": "0",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"JOBKIT_TRANSCODE_{name.upper()}", value)
    made = samples.make("numbered4.mp4", picture=numbered_picture("25"), seconds=4)
    target = tmp_path / made.name
    target.write_bytes(made.read_bytes())
    return target


async def variants(site: SplitSite, to: Path) -> list[str]:
    """Return the renditions that are to be seen now, none where nothing is; every file that leads to them is there."""
    if not await site.files(to):
        return []
    master = parse_master_playlist((to / "hls" / "master.m3u8").read_text())
    for name in master.files():
        playlist = to / "hls" / name
        for file in parse_media_playlist(playlist.read_text()).files():
            assert (playlist.parent / file).stat().st_size > 0
    return [each.uri for each in master.variants if each.size is not None]


@pytest.mark.parametrize("split", [False, True, None])
async def test_the_lowest_rendition_is_to_be_seen_before_the_others_are_made(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: bool | None
) -> None:
    # Where the job does not say, it is too short for it, which is known only when it has been looked into.
    monkeypatch.setenv("JOBKIT_TRANSCODE_SPLIT_SECONDS", "600")
    seen: list[list[str]] = []
    searched: list[list[str]] = []
    async with split_site() as site:

        async def checked(*given: Any, **more: Any) -> Checked:
            # Shortly before each job commits.
            seen.append(await variants(site, tmp_path / str(len(seen))))
            return await check_outputs(*given, **more)

        async def reached(bench: Bench, plan: TranscodePlan, *given: Any) -> TranscodePlan:
            if len(plan.rungs) > 1:
                searched.append(await variants(site, tmp_path / "searched"))
            return await reach_quality(bench, plan, *given)

        monkeypatch.setattr(processor, "check_outputs", checked)
        monkeypatch.setattr(processor, "reach_quality", reached)
        site.start()
        result = await site.transcode(str(source), early=True, split=split)
        seen.append(await variants(site, tmp_path / "end"))
        (job,) = [one for one in await site.planes.inspection.jobs(type="transcode") if one.group is None]
        members = [member async for member in site.client.members(job.id)]
    assert seen == [[], ["16p/index.m3u8"], ["32p/index.m3u8", "16p/index.m3u8"]]
    assert searched == [[] if split else ["16p/index.m3u8"]]
    assert [each.name for each in result.renditions] == ["32p", "16p"]
    assert [(each.type, each.state) for each in members[:1]] == [("transcode", JobState.COMMITTED)]
    assert {each.type for each in members[1:]} == ({"transcode.chunk"} if split else set())


class Holding:
    """A context of a video with so many files, and of a job with so many members."""

    def __init__(self, files: int) -> None:
        self._files = files

    async def files(self) -> list[str]:
        return ["file"] * self._files

    async def members(self) -> AsyncIterator[str]:
        for _ in range(self._files):
            yield "member"


async def test_video_that_has_files_keeps_them_until_all_is_made() -> None:
    job = Transcode(video_id="v1", source="s", early=True, storyboard=True, split=True)
    assert await lowest_first(cast(Context, Holding(5)), job) is None
    assert await lowest_first(cast(Context, Holding(0)), job.model_copy(update={"early": False})) is None
    lowest = await lowest_first(cast(Context, Holding(0)), job)
    assert lowest == Transcode(video_id="v1", source="s", lowest=True, split=True)


@pytest.mark.parametrize("members", [0, 1])
async def test_job_that_has_waited_for_it_waits_for_no_chunks(members: int) -> None:
    assert await has_awaited(cast(Context, Holding(members))) is bool(members)


def test_lowest_rendition_waits_for_no_lower_one() -> None:
    with pytest.raises(ValidationError, match="give one of them"):
        Transcode(video_id="v1", source="s", early=True, lowest=True)


async def test_lowest_rendition_takes_the_place_of_nothing() -> None:
    job = Transcode(video_id="v1", source="s", lowest=True)
    await require_no_files(cast(Context, Holding(0)), job)
    with pytest.raises(Reject, match="'v1' has files already"):
        await require_no_files(cast(Context, Holding(5)), job)
    await require_no_files(cast(Context, Holding(5)), job.model_copy(update={"lowest": False}))
