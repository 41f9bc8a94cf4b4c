"""When the last picture of a finished file has been shown: by its edit list, or by its samples where it has none."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.media.handmade import box, moov, table, tables, trak
from workers.transcode.finished import read_track

EMPTY = -1
# Pictures out of order: shown at 200, 100 and 200, for 100, 100 and 50 ticks as they are decoded.
LAST, BY_SAMPLES = 200, 300


def edit_list(*edits: tuple[int, int]) -> bytes:
    entries = [struct.pack(">Iii", duration, media_time, 0x10000) for duration, media_time in edits]
    return box("edts", table("elst", entries)) if entries else b""


@pytest.mark.parametrize(
    ("edits", "end"),
    [
        ((), BY_SAMPLES),
        # The file is shown from its tick 100 on, for 160: then the last picture has been shown for 60, not for 50.
        (((160, 100),), 160),
        # Behind an empty edit all comes later.
        (((500, EMPTY), (160, 100)), 660),
        # An edit that ends where the last picture begins, or before, would leave it out.
        (((100, 100),), LAST - 100 + 1),
        (((0, 100),), LAST - 100 + 1),
    ],
)
def test_track_ends_when_its_last_picture_has_been_shown(
    tmp_path: Path, edits: tuple[tuple[int, int], ...], end: int
) -> None:
    path = tmp_path / "finished.mp4"
    path.write_bytes(moov(trak(stored=tables(), edts=edit_list(*edits))))
    track = read_track(path, "vide")
    assert track is not None
    assert track.end == end
    assert max(unit.time for unit in track.units) < end


def test_edit_list_in_another_timescale_is_taken_to_the_nearest_tick(tmp_path: Path) -> None:
    path = tmp_path / "finished.mp4"
    path.write_bytes(moov(trak(stored=tables(), edts=edit_list((97, 100))), timescale=600))
    track = read_track(path, "vide")
    assert track is not None
    assert track.end == round(97 / 600 * 1000)
