"""A VMAF score that is asked for is reached, by a quality that was looked for once."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from transcode_bench import FFMPEGS, Desk, Samples

from workers.transcode import target_quality
from workers.transcode.encoder_trial import Tool, tool_problem
from workers.transcode.errors import Stalled
from workers.transcode.profile import Profile, VideoProfile
from workers.transcode.settings import TranscodeSettings
from workers.transcode.working_encoders import WorkingEncoders

WHEEL = FFMPEGS["wheel"]
AIMED = """
[profiles.aimed]
[[profiles.aimed.video]]
vmaf = 88
quality = 27
preset = "veryfast"
best_quality = 20
worst_quality = 45
"""
# As hard to encode as real pictures are, and not the same everywhere.
NOISY = "testsrc2=size=320x180:rate=25,noise=alls=18:allf=t"


@pytest.fixture
def aimed(desk: Desk, tmp_path: Path) -> Desk:
    if WHEEL is None:
        pytest.skip("the imageio-ffmpeg package, whose ffmpeg has libvmaf, is not installed")
    (tmp_path / "profiles.toml").write_text(AIMED)
    desk.settings |= {"ffmpeg": WHEEL, "profiles": tmp_path / "profiles.toml", "profile": "aimed"}
    return desk


def measured(made: Path, source: str) -> float:
    """Return the score of a whole rendition, by a command of its own."""
    report = made.with_suffix(".json")
    graph = f"[0:v]settb=1/90000[a];[1:v]settb=1/90000[b];[a][b]libvmaf=log_fmt=json:log_path={report}"
    command = [str(WHEEL), "-v", "error", "-i", str(made), "-i", source, "-filter_complex", graph, "-f", "null", "-"]
    subprocess.run(command, check=True)
    return float(json.loads(report.read_text())["pooled_metrics"]["vmaf"]["mean"])


async def test_the_score_is_reached_and_told_and_looked_for_once(aimed: Desk, samples: Samples) -> None:
    source = aimed.place(samples.make("noisy.mp4", picture=NOISY, seconds=0.8, sound=None, options=("-crf", "10")))
    (rendition,) = (await aimed.run(source, hls=False)).renditions
    assert rendition.quality is not None
    assert rendition.vmaf is not None
    assert 20 < rendition.quality < 45
    assert 88 <= rendition.vmaf < 93
    # All of so short a video is the sample, but it was encoded by one thread, and this by two.
    assert measured(aimed.blobs / rendition.blob, source) == pytest.approx(rendition.vmaf, abs=1.0)

    shutil.rmtree(aimed.blobs)
    aimed.blobs.mkdir()
    aimed.store.seen.clear()
    (again,) = (await aimed.run(source, hls=False)).renditions
    assert (again.quality, again.vmaf) == (rendition.quality, rendition.vmaf)
    assert not [message for _, message in aimed.store.seen if "looking for the quality" in message]


def fails(*_: object) -> list[str]:
    return ["-i", "file:nothing"]


def stalls(*_: object) -> list[str]:
    raise Stalled("ffmpeg showed no progress")


@pytest.mark.parametrize("measure", [fails, stalls])
async def test_what_cannot_be_measured_is_encoded_all_the_same_and_told(
    aimed: Desk, samples: Samples, monkeypatch: pytest.MonkeyPatch, measure: Callable[..., list[str]]
) -> None:
    monkeypatch.setattr(target_quality, "measure_arguments", measure)
    source = aimed.place(samples.make("tiny.mp4", size="32x32", seconds=0.2, sound=None))
    result = await aimed.run(source, hls=False, ladder=(32, 16))
    assert [(each.quality, each.vmaf) for each in result.renditions] == [(27, None), (27, None)]
    told = "VMAF could not be measured, where 88 is wanted, with quality 27 of 20 to 45 under 100000 bits per second"
    assert result.warnings == (f"32p: {told}", f"16p: {told}")


async def test_ffmpeg_without_libvmaf_keeps_to_the_quality_and_tells() -> None:
    async def trial(binary: Path, tool: Tool, settings: TranscodeSettings) -> str | None:
        return "No such filter: 'libvmaf'"

    settings = TranscodeSettings(crf=21)
    profile = Profile(video=(VideoProfile(vmaf=93),))
    chosen = await WorkingEncoders(settings, {"default": profile}, tool_trial=trial).choose(None)
    assert [(each.coding.level, each.aim) for each in chosen.ways] == [(21, None)]
    assert chosen.warnings == (
        "VMAF cannot be measured here (No such filter: 'libvmaf'): h264 has quality 21 instead of a score of 93",
    )


async def test_pictures_too_small_for_libvmaf_do_not_end_the_job(aimed: Desk, samples: Samples) -> None:
    source = aimed.place(samples.make("tiny.mp4", size="32x32", seconds=0.2, sound=None))
    result = await aimed.run(source, hls=False, ladder=(32, 16))
    assert [each.vmaf is None for each in result.renditions] == [False, True]


async def test_what_an_ffmpeg_cannot_do_is_found_out(ffmpeg: str) -> None:
    settings = TranscodeSettings()
    assert await tool_problem(Path(ffmpeg), Tool.OPUS, settings) is None
    problem = await tool_problem(Path(ffmpeg), Tool.VMAF, settings)
    # Some systems' ffmpeg has it as well.
    assert problem is None or (ffmpeg != WHEEL and "libvmaf" in problem)
