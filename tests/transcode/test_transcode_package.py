"""The package of a rendition, and the judge of raw times: each fault that it is there for is planted once."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from workers.transcode import hls
from workers.transcode.box_writer import box
from workers.transcode.boxes import fragments, read
from workers.transcode.cutting import Placed, Unit
from workers.transcode.fragment_writer import DELIMITER, fragment_header, init_segment, segment_type
from workers.transcode.package_child import main
from workers.transcode.probe_track import highest_rate
from workers.transcode.segment_check import Packet, package_problems

# The body of an `stsd` box with one `avc1` entry of 320x180 that says nothing more.
ENTRY = bytes(6) + b"\0\1" + bytes(16) + (320).to_bytes(2, "big") + (180).to_bytes(2, "big") + bytes(50)
DESCRIPTION = bytes(4) + b"\0\0\0\1" + (len(ENTRY) + 8).to_bytes(4, "big") + b"avc1" + ENTRY
SCALE = 1000


def placed(time: int, duration: int = 100, *, size: int = 3, repeat: bool = False, key: bool = True) -> Placed:
    return Placed(Unit(time, duration, size, key, 0), time, time, duration, repeat)


def write(folder: Path, segments: Sequence[tuple[float, Sequence[tuple[Placed, bytes]]]]) -> None:
    """Write a package of segments with the lengths that the playlist is to say."""
    folder.mkdir(exist_ok=True)
    (folder / "init.mp4").write_bytes(init_segment("vide", SCALE, DESCRIPTION))
    for number, (_, units) in enumerate(segments):
        content = segment_type() + fragment_header(number + 1, [each for each, _ in units])
        content += b"".join((DELIMITER if each.repeat else b"") + data for each, data in units)
        (folder / hls.segment_file(number)).write_bytes(content)
    named = [hls.Segment(seconds, hls.segment_file(number)) for number, (seconds, _) in enumerate(segments)]
    (folder / "index.m3u8").write_text(hls.media_playlist(named))


def packet(time: float, data: bytes) -> Packet:
    return Packet(time, len(data), zlib.crc32(data))


PACKETS = [packet(0.0, b"abc"), packet(0.1, b"def")]


def test_package_with_the_right_bytes_at_the_right_times_passes(tmp_path: Path) -> None:
    write(tmp_path, [(0.1, [(placed(0), b"abc")]), (0.1, [(placed(100), b"def")])])
    assert package_problems(tmp_path, "vide", PACKETS) == []


def test_written_fragments_are_read_as_they_were_meant(tmp_path: Path) -> None:
    write(tmp_path, [(0.2, [(placed(0), b"abc"), (placed(100, key=False), b"def")])])
    movie = read(tmp_path / "init.mp4")
    (fragment,) = fragments(movie, tmp_path / "00000.m4s")
    assert [(each.presentation_time, each.duration, each.keyframe) for each in fragment.samples] == [
        (0, 100, True),
        (100, 100, False),
    ]
    content = (tmp_path / "00000.m4s").read_bytes()
    assert [content[each.position :][: each.size] for each in fragment.samples] == [b"abc", b"def"]


@pytest.mark.parametrize(
    ("segments", "words"),
    [
        ([(0.1, [(placed(0), b"abc")]), (0.1, [(placed(150), b"def")])], "begins at 0.150 s, the playlist says 0.100"),
        ([(0.1, [(placed(0, 90), b"abc")]), (0.1, [(placed(100), b"def")])], "the one before ends at 90"),
        ([(0.2, [(placed(0), b"abc"), (placed(100), b"dxf")])], "is not of the rendition"),
        ([(0.1, [(placed(0), b"abc")])], "1 of the 2 packets"),
        ([(0.2, [(placed(0, 110), b"abc"), (placed(110, 90), b"def")])], "shows at 0.100 s is at 0.110 s"),
        ([(0.2, [(placed(0, key=False), b"abc"), (placed(100), b"def")])], "does not begin with a keyframe"),
        ([(0.3, [(placed(0), b"abc"), (placed(100), b"def")])], "it ends at 0.200 s, the playlist says 0.300 s"),
        ([(0.2, [(placed(0, 0), b"abc"), (placed(100), b"def")])], "lasts no time"),
    ],
)
def test_package_with_one_thing_wrong_fails(
    tmp_path: Path, segments: Sequence[tuple[float, Sequence[tuple[Placed, bytes]]]], words: str
) -> None:
    write(tmp_path, segments)
    assert words in " / ".join(package_problems(tmp_path, "vide", PACKETS))


def test_picture_may_be_repeated_while_it_is_held_and_at_no_other_time(tmp_path: Path) -> None:
    held = (placed(50, 50, repeat=True), b"abc")
    write(tmp_path, [(0.2, [(placed(0, 50), b"abc"), held, (placed(100), b"def")])])
    assert package_problems(tmp_path, "vide", PACKETS) == []
    late = (placed(200, 50, repeat=True), b"abc")
    write(tmp_path, [(0.25, [(placed(0), b"abc"), (placed(100), b"def"), late])])
    assert "not of the rendition" in package_problems(tmp_path, "vide", PACKETS)[0]


def test_first_picture_may_be_repeated_before_its_time(tmp_path: Path) -> None:
    early = (placed(0, 50, repeat=True), b"abc")
    write(tmp_path, [(0.1, [early, (placed(50, 50), b"abc")])])
    assert package_problems(tmp_path, "vide", [packet(0.05, b"abc")]) == []


def test_samples_that_players_are_told_to_leave_out_are_a_fault(tmp_path: Path) -> None:
    entry = box("Opus", bytes(28), box("dOps", bytes((0, 2)) + (312).to_bytes(2, "big") + bytes(7)))
    write(tmp_path, [(0.2, [(placed(0), b"abc"), (placed(100), b"def")])])
    (tmp_path / "init.mp4").write_bytes(init_segment("soun", SCALE, bytes(4) + b"\0\0\0\1" + entry))
    assert package_problems(tmp_path, "soun", PACKETS) == [
        "players leave out its first 312 samples, which are those of time 0"
    ]


def test_edit_list_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path, [(0.2, [(placed(0), b"abc"), (placed(100), b"def")])])
    init = tmp_path / "init.mp4"
    edit = bytes.fromhex("00000024 65647473 0000001c 656c7374 00000000 00000001 00000064 00000000 00010000")
    content = init.read_bytes()
    # The boxes around it grow by it: moov and trak.
    for kind in (b"moov", b"trak"):
        at = content.index(kind) - 4
        size = int.from_bytes(content[at : at + 4], "big") + len(edit)
        content = content[:at] + size.to_bytes(4, "big") + content[at + 4 :]
    at = content.index(b"mdia") - 4
    init.write_bytes(content[:at] + edit + content[at:])
    assert package_problems(tmp_path, "vide", PACKETS) == ["its init segment has an edit list, which browsers ignore"]


@pytest.mark.parametrize("name", ["index.m3u8", "init.mp4", "00000.m4s"])
def test_missing_file_is_told_and_no_crash(tmp_path: Path, name: str) -> None:
    write(tmp_path, [(0.2, [(placed(0), b"abc"), (placed(100), b"def")])])
    (tmp_path / name).unlink()
    assert name in package_problems(tmp_path, "vide", PACKETS)[0]


def test_rendition_that_is_no_mp4_is_told_as_malformed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.mp4").write_bytes(b"\0\0\0\x08free")
    task = {"file": str(tmp_path / "x.mp4"), "handler": "vide", "folder": str(tmp_path / "x"), "language": "und"}
    main([json.dumps({"seconds": 4, "tracks": [task]})])
    assert "no moov box" in json.loads(capsys.readouterr().out)["malformed"]


@pytest.mark.parametrize(
    ("times", "rate"),
    [
        ([number / 25 for number in range(100)], 25),
        ([number * 1001 / 30000 for number in range(100)], 29.97),
        ([0.0, 7.0, 14.0], 1 / 7),
        ([0.0], 0),
        ([0.0, 0.005, 0.08, 0.085], 3 / 0.085),
        # Slow, then fast for two seconds, then slow again.
        ([*range(5), *(5 + number / 50 for number in range(100)), *range(8, 12)], 50),
    ],
)
def test_highest_rate_is_that_of_the_fastest_second(times: list[float], rate: float) -> None:
    assert highest_rate(times) == pytest.approx(rate, rel=0.02)
