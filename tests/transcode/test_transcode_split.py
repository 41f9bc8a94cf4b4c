"""A video that workers encode in chunks: one job for who submitted it, with the files of one in one piece."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from split_bench import split_site
from transcode_bench import FFMPEG, FFMPEGS, Samples

from jobkit.errors import JobDead
from jobkit.model.job_state import JobState
from jobkit.ops.verify import verify
from jobkit.worker.maintenance import file_retention
from tests.media import rawtimes
from tests.media.numbered import numbered_picture, shown
from tests.media.playlists import read_master
from workers.transcode import Transcode, chunk_processor, processor, transcode
from workers.transcode.check_outputs import Checked, check_outputs
from workers.transcode.chunk_payload import EncodedChunk, TranscodeChunk

PARTS = ["0", "1", "2", "sound"]


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set the plugin up to split all that lasts longer than 4 s; return the folder of its sources."""
    sources = tmp_path / "sources"
    sources.mkdir()
    given = {
        "source_roots": str(sources),
        "ffmpeg": FFMPEG,
        "preset": "ultrafast",
        "segment_seconds": "1",
        "chunk_seconds": "2",
        "split_seconds": "4",
        "threads": "1",
        "ladder": "32",
        "nice": "0",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"JOBKIT_TRANSCODE_{name.upper()}", value)
    # Looked at all the time: what goes too early is missed.
    monkeypatch.setattr(file_retention, "_EVERY_SECONDS", 0.1)
    return sources


def placed(samples: Samples, sources: Path) -> Path:
    """Put a source of 6 s where the plugin may read it."""
    source = samples.make("numbered.mp4", picture=numbered_picture("25"), seconds=6)
    target = sources / source.name
    target.write_bytes(source.read_bytes())
    return target


def named(monkeypatch: pytest.MonkeyPatch, folder: Path, profile: str) -> None:
    """Have jobs use a profile `p`."""
    file = folder / "profiles.toml"
    file.write_text(profile)
    monkeypatch.setenv("JOBKIT_TRANSCODE_PROFILES", str(file))
    monkeypatch.setenv("JOBKIT_TRANSCODE_PROFILE", "p")


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))


async def test_the_files_and_the_result_are_those_of_a_video_in_one_piece(
    samples: Samples, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = placed(samples, sources)
    named(monkeypatch, tmp_path, '[[profiles.p.audio]]\n[[profiles.p.audio]]\ncodec = "opus"')
    found = []
    for name, split in (("chunks", None), ("whole", False)):
        async with split_site() as site:
            site.start()
            found.append(await site.transcode(str(source), split=split))
            await site.files(tmp_path / name)
            keys = [job.key.rpartition("/")[2] for job in await site.planes.inspection.jobs(type="transcode.chunk")]
            assert sorted(keys) == (PARTS if split is None else [])
    assert names(tmp_path / "chunks") == names(tmp_path / "whole")
    chunks, whole = found
    assert [(one.name, one.codecs, one.duration, one.frame_rate) for one in chunks.renditions] == [
        (one.name, one.codecs, one.duration, one.frame_rate) for one in whole.renditions
    ]
    assert (chunks.duration, chunks.source, chunks.warnings) == (whole.duration, whole.source, whole.warnings)
    assert [one.codecs for one in chunks.sounds] == ["mp4a.40.2", "opus"]
    assert chunks.sounds == whole.sounds
    for playlist in ("hls/32p/index.m3u8", "hls/audio/index.m3u8", "hls/audio-opus/index.m3u8"):
        assert (tmp_path / "chunks" / playlist).read_text() == (tmp_path / "whole" / playlist).read_text()
    for file in sorted((tmp_path / "whole" / "hls/audio-opus").iterdir()):
        assert (tmp_path / "chunks" / "hls/audio-opus" / file.name).read_bytes() == file.read_bytes()
    numbers = [one.number for one in shown(tmp_path / "chunks" / "32p.mp4")]
    assert numbers == list(range(150))
    variant, _ = read_master(tmp_path / "chunks" / "hls" / "master.m3u8").variants
    assert rawtimes.timing_problems(variant, tmp_path / "chunks" / "32p.mp4", 0.04) == []


async def test_a_worker_that_is_gone_costs_the_chunk_it_had(samples: Samples, sources: Path, tmp_path: Path) -> None:
    async with split_site() as site:
        first = site.start()
        handle = await transcode.submit(site.client, Transcode(video_id="v1", source=str(placed(samples, sources))))
        await site.until_running(handle.id)
        done = [one.id for one in await site.chunks(handle.id) if one.state is JobState.COMMITTED]
        first.stop()
        site.start()
        result = await handle.result(timeout=120)
        assert [round(one.duration) for one in result.renditions] == [6]
        chunks = await site.chunks(handle.id)
        assert [one.state for one in chunks] == [JobState.COMMITTED] * len(PARTS)
        assert all(one.opens == 1 for one in chunks if one.id in done)
        await site.until_chunks_are_gone(handle.id)
        await site.files(tmp_path / "out")
        assert [one.number for one in shown(tmp_path / "out" / "32p.mp4")] == list(range(150))
        assert (await verify(site.planes)).findings == []


async def test_a_cancelled_job_leaves_no_chunks(samples: Samples, sources: Path) -> None:
    async with split_site() as site:
        site.start()
        handle = await transcode.submit(site.client, Transcode(video_id="v1", source=str(placed(samples, sources))))
        await site.until_running(handle.id)
        await site.client.cancel(handle.id)
        await site.until_chunks_are_gone(handle.id)
        assert not [key for key in await site.planes.inspection.keys() if key.manifest]


async def test_chunks_of_an_older_worker_are_joined_and_decoded_as_a_whole(
    samples: Samples, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def older(*, digests: tuple[str, ...], **told: Any) -> EncodedChunk:
        assert digests is not None
        return EncodedChunk.model_validate(told)

    decoded = []

    async def checked(*given: Any, known: bool) -> Checked:
        decoded.append(not known)
        return await check_outputs(*given, known=known)

    monkeypatch.setattr(chunk_processor, "EncodedChunk", older)
    monkeypatch.setattr(processor, "check_outputs", checked)
    async with split_site() as site:
        site.start()
        await site.transcode(str(placed(samples, sources)))
        await site.files(tmp_path / "out")
    assert [one.number for one in shown(tmp_path / "out" / "32p.mp4")] == list(range(150))
    assert decoded == [True]


async def test_a_chunk_that_cannot_be_made_ends_the_job_with_its_name(samples: Samples, sources: Path) -> None:
    async with split_site() as site:
        source = placed(samples, sources)
        site.start("transcode")
        handle = await transcode.submit(site.client, Transcode(video_id="v1", source=str(source)))
        for chunk in await site.until_split(handle.id):
            await site.client.cancel(chunk.id)
        with pytest.raises(JobDead, match="4 of 4 chunks were not encoded"):
            await handle.result(timeout=60)


async def test_the_same_source_gives_the_same_plan(samples: Samples, sources: Path) -> None:
    async with split_site() as site:
        source = placed(samples, sources)
        site.start("transcode")
        bodies = []
        for video in ("v1", "v2"):
            job = Transcode(video_id=video, source=str(source))
            handle = await transcode.submit(site.client, job)
            chunks = await site.until_split(handle.id)
            found = [await site.planes.inspection.envelope(chunk.id) for chunk in chunks]
            bodies.append([one.body.replace(handle.id.encode(), b"") for one in found if one])
        assert bodies[0] == bodies[1]
        assert len(bodies[0]) == len(PARTS)


async def test_all_chunks_have_the_quality_that_was_found_once(
    samples: Samples, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = FFMPEGS["wheel"]
    if wheel is None:
        pytest.skip("the imageio-ffmpeg package, whose ffmpeg has libvmaf, is not installed")
    named(monkeypatch, tmp_path, "[[profiles.p.video]]\nvmaf = 80\nquality = 38")
    monkeypatch.setenv("JOBKIT_TRANSCODE_FFMPEG", wheel)
    monkeypatch.setenv("JOBKIT_TRANSCODE_LADDER", "180")
    source = samples.make("noisy-chunks.mp4", picture="testsrc2=size=320x180,noise=alls=18:allf=t", seconds=4.5)
    (sources / source.name).write_bytes(source.read_bytes())
    async with split_site() as site:
        site.start("transcode")
        job = Transcode(video_id="v1", source=str(sources / source.name))
        handle = await transcode.submit(site.client, job)
        chunks = await site.until_split(handle.id)
        found = [await site.planes.inspection.envelope(chunk.id) for chunk in chunks]
    rungs = [rung for one in found if one for rung in TranscodeChunk.model_validate_json(one.body).plan.rungs]
    assert len(rungs) == 2
    assert rungs[0] == rungs[1]
    assert 80 <= (rungs[0].vmaf or 0) < 85
