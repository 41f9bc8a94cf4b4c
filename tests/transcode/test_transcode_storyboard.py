"""Storyboards: the picture of each time, on sheets, and a WebVTT file that leads there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import av
import pytest
from transcode_bench import Desk, Samples

from jobkit import Context, Reject
from jobkit.errors import UnknownType
from jobkit.files import CommittedFile
from jobkit.testing import run_job
from workers.transcode import Transcode, transcode
from workers.transcode.ladder import Size
from workers.transcode.profile import known_profiles
from workers.transcode.settings import TranscodeSettings
from workers.transcode.sprites import lay_out, vtt
from workers.transcode.storyboard_processor import Storyboard, StoryboardResult, require_storyboard, storyboard
from workers.transcode.working_encoders import WorkingEncoders, working_encoders


class Films:
    """What a video has committed: files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def files(self, type: str, key: str) -> Films:
        assert (type, key) == ("transcode", "v1")
        return self

    def __iter__(self) -> Iterator[CommittedFile]:
        for path in sorted(self._folder.iterdir()):
            yield CommittedFile("transcode", "v1", path.name, path.stat().st_size, "", "video/mp4", "job-1", "")

    async def download(self, name: str, to: Path) -> None:
        shutil.copyfile(self._folder / name, to)


async def made(desk: Desk, films: Path, **fields: Any) -> StoryboardResult:
    async with AsyncExitStack() as resources:
        context = desk.context(resources)
        context._file_reader = cast(Any, Films(films))
        return await storyboard(Storyboard(video_id="v1", **fields), context)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("seconds", "interval", "expected"),
    [
        (3600, None, (20.0, 180, 10, 10)),
        (10, None, (1.0, 10, 10, 1)),
        (0.04, None, (1.0, 1, 1, 1)),
        (25, 2.5, (2.5, 10, 10, 1)),
        (24.9, 2.5, (2.5, 10, 10, 1)),
        # No more than a thousand, whatever is asked for.
        (36000, 1, (36.0, 1000, 10, 10)),
    ],
)
def test_there_are_as_many_pictures_as_a_bar_can_show(
    seconds: float, interval: float | None, expected: tuple[float, int, int, int]
) -> None:
    board = lay_out(seconds, Size(1920, 1080), 160, interval)
    assert (board.interval, board.count, board.columns, board.rows) == expected
    assert board.tile == Size(160, 90)


def test_text_leads_to_every_place_and_covers_every_time() -> None:
    board = lay_out(3599, Size(1080, 1920), 90, 30)
    assert board.sheets == ("sheet-001.jpg", "sheet-002.jpg")
    text = vtt(board, 3599)
    assert text.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:30.000\nsheet-001.jpg#xywh=0,0,90,160\n\n00:00:30.000 -->")
    assert "00:49:30.000 --> 00:50:00.000\nsheet-001.jpg#xywh=810,1440,90,160\n\n" in text
    assert text.endswith("00:59:30.000 --> 00:59:59.000\nsheet-002.jpg#xywh=810,160,90,160\n")


async def test_each_picture_is_that_of_its_time(desk: Desk, samples: Samples, ffmpeg: str, films: Path) -> None:
    desk.settings["ffmpeg"] = ffmpeg
    halves = "color=red:size=320x180:rate=25:duration=1[a];color=lime:size=320x180:rate=25:duration=1[b];[a][b]concat"
    shutil.copyfile(samples.make("halves180.mp4", picture=halves), films / "180p.mp4")
    shutil.copyfile(samples.make("larger.mp4", size="640x360", seconds=3), films / "360p.mp4")
    result = await made(desk, films, interval=timedelta(seconds=0.5), width=64)
    assert (result.pictures, result.sheets, result.width, result.height) == (4, ("sheet-001.jpg",), 64, 36)
    assert desk.outputs() == ["sheet-001.jpg", "storyboard.vtt"]
    assert tiles(desk.blobs / "sheet-001.jpg", 64, 36) == ["red", "red", "green", "green"]


async def test_picture_that_is_held_is_there_at_every_time(
    desk: Desk, samples: Samples, ffmpeg: str, films: Path
) -> None:
    desk.settings["ffmpeg"] = ffmpeg
    still = samples.make("still180.mp4", picture="color=red:size=320x180:rate=25:duration=0.04", seconds=3)
    shutil.copyfile(still, films / "180p.mp4")
    result = await made(desk, films, interval=timedelta(seconds=1), width=64)
    assert result.pictures == 3
    assert tiles(desk.blobs / "sheet-001.jpg", 64, 36) == ["red"] * 3


async def test_video_that_was_not_transcoded_has_none(desk: Desk, films: Path) -> None:
    with pytest.raises(Reject, match="has no renditions: transcode it first"):
        await made(desk, films)


def tiles(path: Path, width: int, height: int) -> list[str]:
    """Return the colour in the middle of each tile of a sheet, in reading order."""
    with av.open(str(path)) as media:
        frame = next(media.decode(video=0)).reformat(format="rgb24")
        content, stride = bytes(frame.planes[0]), frame.planes[0].line_size
    found = []
    for y in range(height // 2, frame.height, height):
        for x in range(width // 2, frame.width, width):
            red, green, _ = content[y * stride + 3 * x :][:3]
            found.append("red" if red > 200 and green < 60 else "green" if green > 200 and red < 60 else "other")
    return found


class Staged:
    """Follow-up jobs that were submitted; with `known` False nobody knows their type."""

    def __init__(self, known: bool) -> None:
        self.submitted: list[Any] = []
        self._known = known

    def new_job(self, type: str, payload: Any, **options: Any) -> Any:
        if not self._known:
            raise UnknownType(f"no processor for job type {type!r}")
        self.submitted.append((type, payload))
        return cast(Any, None)


def test_storyboard_that_nobody_knows_is_refused_before_anything_is_encoded() -> None:
    context = cast(Context, Staged(known=False))
    with pytest.raises(Reject, match=r"JOBKIT_PLUGINS names the plugin workers\.transcode:storyboard"):
        require_storyboard("v1", context)


async def test_storyboard_follows_a_transcode_that_asks_for_it(
    desk: Desk, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = desk.place(samples.make("short.mp4", seconds=0.3))
    payload = Transcode(video_id="v1", source=source, hls=False, storyboard=True)
    # What the runtime reads the settings from is the environment.
    monkeypatch.setenv("JOBKIT_TRANSCODE_SOURCE_ROOTS", str(desk.sources))
    settings = TranscodeSettings(**desk.settings)
    outcome = await run_job(
        transcode,
        payload,
        knows=[storyboard],
        resources={working_encoders: WorkingEncoders(settings, known_profiles(settings))},
    )
    (follow_up,) = outcome.submitted
    assert (follow_up.type, follow_up.key) == ("storyboard", "v1")
