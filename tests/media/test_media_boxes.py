"""The reader of raw MP4 structure, against bytes written by hand."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import pytest

from tests.media.handmade import (
    box,
    full_box,
    i32,
    large_box,
    moof,
    moov,
    table,
    tables,
    tfdt,
    traf,
    trak,
    trex,
    u32,
    u64,
)
from workers.transcode import box_reader, boxes
from workers.transcode.box_reader import MalformedMp4
from workers.transcode.boxes import Colour, Edit, Fragment, Movie, Sample


def written(folder: Path, *content: bytes, name: str = "a.mp4") -> Path:
    path = folder / name
    path.write_bytes(b"".join(content))
    return path


def init(folder: Path, **defaults: int) -> Movie:
    return boxes.read(written(folder, moov(trak(), trak(2, handler="soun"), mvex=trex(1, **defaults) + trex(2))))


def fragments(folder: Path, *content: bytes, **defaults: int) -> list[Fragment]:
    return list(boxes.fragments(init(folder, **defaults), written(folder, *content, name="a.m4s")))


def one(folder: Path, content: bytes, **defaults: int) -> Fragment:
    (fragment,) = fragments(folder, content, **defaults)
    return fragment


# ---- the index ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 1])
def test_track_is_read_in_both_widths(tmp_path: Path, version: int) -> None:
    index = moov(
        trak(7, timescale=90_000, handler="soun", codec="mp4a", version=version), timescale=600, version=version
    )
    movie = boxes.read(written(tmp_path, box("ftyp", b"isom"), index))
    (track,) = movie.tracks
    assert (movie.timescale, track.id, track.timescale, track.handler) == (600, 7, 90_000, "soun")
    assert (track.codec, track.edits, track.colour) == ("mp4a", (), None)
    assert (movie.track("soun"), movie.track("vide")) == (track, None)


@pytest.mark.parametrize(
    ("version", "entries"),
    [
        (0, [struct.pack(">Iii", 500, -1, 0x10000), struct.pack(">Iii", 900, 40, 0x8000)]),
        (1, [struct.pack(">Qqi", 500, -1, 0x10000), struct.pack(">Qqi", 900, 40, 0x8000)]),
    ],
)
def test_edit_list_is_read_in_both_widths(tmp_path: Path, version: int, entries: list[bytes]) -> None:
    edts = box("edts", table("elst", entries, version))
    (track,) = boxes.read(written(tmp_path, moov(trak(edts=edts)))).tracks
    assert track.edits == (Edit(500, None, Fraction(1)), Edit(900, 40, Fraction(1, 2)))


@pytest.mark.parametrize(
    ("colr", "colour"),
    [
        (box("colr", b"nclx", struct.pack(">HHHB", 1, 13, 6, 0x80)), Colour("nclx", 1, 13, 6, True)),
        (box("colr", b"nclx", struct.pack(">HHHB", 9, 16, 9, 0)), Colour("nclx", 9, 16, 9, False)),
        (box("colr", b"nclc", struct.pack(">HHH", 1, 1, 1)), Colour("nclc", 1, 1, 1)),
        (box("colr", b"prof", bytes(128)), Colour("prof")),
        (box("pasp", u32(1, 1)), None),
    ],
)
def test_colour_is_read(tmp_path: Path, colr: bytes, colour: Colour | None) -> None:
    (track,) = boxes.read(written(tmp_path, moov(trak(colr=box("avcC", bytes(7)) + colr)))).tracks
    assert track.colour == colour


def test_samples_of_the_index_have_all_their_tables(tmp_path: Path) -> None:
    (track,) = boxes.read(written(tmp_path, moov(trak(stored=tables())))).tracks
    assert list(track.samples()) == [
        Sample(0, 200, 100, 11, True, 1000),
        Sample(100, 0, 100, 12, False, 1011),
        Sample(200, 0, 50, 13, True, 2000),
    ]
    assert [sample.presentation_time for sample in track.samples()] == [200, 100, 200]


def test_samples_without_optional_tables_are_all_keyframes_shown_when_decoded(tmp_path: Path) -> None:
    stored = tables(stss=b"", ctts=b"", stsz=full_box("stsz", 0, 0, u32(4, 3)))
    (track,) = boxes.read(written(tmp_path, moov(trak(stored=stored)))).tracks
    assert [(each.size, each.keyframe, each.composition_offset) for each in track.samples()] == [(4, True, 0)] * 3


def test_no_sample_is_a_keyframe_where_the_list_of_them_is_empty(tmp_path: Path) -> None:
    (track,) = boxes.read(written(tmp_path, moov(trak(stored=tables(stss=table("stss", [])))))).tracks
    assert [each.keyframe for each in track.samples()] == [False] * 3


@pytest.mark.parametrize(("version", "expected"), [(0, 2**32 - 5), (1, -5)])
def test_composition_offsets_have_a_sign_from_version_1_on(tmp_path: Path, version: int, expected: int) -> None:
    stored = tables(ctts=table("ctts", [u32(3) + i32(-5)], version))
    (track,) = boxes.read(written(tmp_path, moov(trak(stored=stored)))).tracks
    assert {each.composition_offset for each in track.samples()} == {expected}


def test_positions_and_box_sizes_of_64_bits_are_read(tmp_path: Path) -> None:
    stored = tables(stco=table("co64", [u64(2**40), u64(2**41)]))
    path = written(tmp_path, large_box("free", bytes(100)), moov(trak(stored=stored)))
    (track,) = boxes.read(path).tracks
    assert [each.position for each in track.samples()] == [2**40, 2**40 + 11, 2**41]


def test_last_box_may_reach_to_the_end_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, moov(trak()), u32(0), b"mdat", bytes(99))
    assert len(boxes.read(path).tracks) == 1


# ---- fragments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 1])
def test_fragment_with_every_field_of_its_own(tmp_path: Path, version: int) -> None:
    flags = 0x1 | 0x100 | 0x200 | 0x400 | 0x800
    rows = u32(40, 7, 0) + i32(80) + u32(41, 8, 0x10000) + i32(-1 if version else 1)
    run = full_box("trun", version, flags, u32(2), i32(500), rows)
    found = one(tmp_path, moof(traf(tfdt(9000, version), run)))
    assert (found.track.id, found.decode_time) == (1, 9000)
    assert found.samples == (
        Sample(9000, 80, 40, 7, True, 500),
        Sample(9040, -1 if version else 1, 41, 8, False, 507),
    )


def test_defaults_are_those_of_the_fragment_before_those_of_the_track(tmp_path: Path) -> None:
    run = full_box("trun", 0, 0x1, u32(2), i32(0))
    found = one(tmp_path, moof(traf(tfdt(0), run)), duration=30, size=5, flags=0x10000)
    assert found.samples == (Sample(0, 0, 30, 5, False, 0), Sample(30, 0, 30, 5, False, 5))
    told = traf(tfdt(0), run, flags=0x20000 | 0x2 | 0x8 | 0x10 | 0x20, fields=u32(1, 20, 6, 0))
    found = one(tmp_path, moof(told), duration=30, size=5, flags=0x10000)
    assert found.samples == (Sample(0, 0, 20, 6, True, 0), Sample(20, 0, 20, 6, True, 6))


def test_first_sample_of_a_run_may_have_flags_of_its_own(tmp_path: Path) -> None:
    run = full_box("trun", 0, 0x4, u32(3, 0))
    found = one(tmp_path, moof(traf(tfdt(0), run)), flags=0x10000)
    assert [each.keyframe for each in found.samples] == [True, False, False]


def test_runs_of_a_track_follow_one_another(tmp_path: Path) -> None:
    first, second = full_box("trun", 0, 0x1, u32(2), i32(100)), full_box("trun", 0, 0, u32(1))
    found = one(tmp_path, moof(traf(tfdt(5), first, second)), duration=10, size=3)
    assert [(each.decode_time, each.position) for each in found.samples] == [(5, 100), (15, 103), (25, 106)]


def test_data_lies_where_the_header_of_the_track_says(tmp_path: Path) -> None:
    def run(offset: int) -> bytes:
        return full_box("trun", 0, 0x1, u32(2), i32(offset))

    before = box("styp", bytes(12))
    of_moof = moof(traf(tfdt(0), run(50)))
    told = moof(traf(tfdt(0), run(50), flags=0x1, fields=u64(7000)))
    # Without a word on it: with the moof box, then where the data of the track before it ended.
    in_turn = moof(traf(tfdt(0), run(50), flags=0), traf(tfdt(0), run(4), number=2, flags=0))
    found = fragments(tmp_path, before, of_moof, told, in_turn, size=3)
    third = len(before) + len(of_moof) + len(told)
    assert [each.samples[0].position for each in found] == [
        len(before) + 50,
        7050,
        third + 50,
        third + 50 + 2 * 3 + 4,
    ]


def test_samples_are_gathered_by_track_over_segments(tmp_path: Path) -> None:
    movie = init(tmp_path, duration=10)
    names = [f"{number}.m4s" for number in range(2)]
    run = full_box("trun", 0, 0, u32(2))
    paths = [written(tmp_path, moof(traf(tfdt(20 * at), run)), name=name) for at, name in enumerate(names)]
    found = boxes.samples(movie, paths)
    assert [each.decode_time for each in found[1]] == [0, 10, 20, 30]
    assert found[2] == []


# ---- what is malformed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no moov"),
        (box("ftyp"), "no moov"),
        (moov(trak())[:-4], "says it has"),
        (u32(7) + b"moov", "says it has 7 bytes"),
        (b"\0\0\0", "3 bytes are left over"),
        (u32(1) + b"moov" + u64(9), "says it has 9 bytes"),
        (box("moov"), "no mvhd"),
        (moov(box("trak")), "no tkhd"),
        (moov(trak(), trak()), "two tracks have one id"),
        (moov(trak(timescale=0)), "timescale is 0"),
        (moov(trak(version=2)), "version 2"),
        (moov(trak(stored=tables(stsz=b""))), "no stsz"),
        (moov(trak(stored=tables(stco=b""))), "no co64"),
        (moov(trak(stored=tables(stts=full_box("stts", 0, 0, u32(2**31, 1, 1))))), "too early"),
        (moov(trak(edts=box("edts", full_box("elst", 0, 0, u32(1, 5))))), "too early"),
        (moov(trak(edts=box("edts", u32(0) + b"elst"))), "says it has 0 bytes"),
    ],
)
def test_malformed_index_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(MalformedMp4, match=words):
        boxes.read(written(tmp_path, content))


@pytest.mark.parametrize(
    ("name", "replacement"),
    [
        ("stts", table("stts", [u32(2, 100)])),
        ("stts", table("stts", [u32(4, 100)])),
        ("ctts", table("ctts", [u32(2, 100)])),
        ("ctts", table("ctts", [u32(4, 100)])),
        ("stss", table("stss", [u32(1), u32(4)])),
        ("stss", table("stss", [u32(2), u32(1)])),
        ("stsc", table("stsc", [u32(1, 1, 1)])),
        ("stsc", table("stsc", [u32(1, 2, 1)])),
        ("stco", table("stco", [u32(1000)])),
    ],
)
def test_tables_that_do_not_agree_are_named(tmp_path: Path, name: str, replacement: bytes) -> None:
    (track,) = boxes.read(written(tmp_path, moov(trak(stored=tables(**{name: replacement}))))).tracks
    with pytest.raises(MalformedMp4):
        list(track.samples())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (moof(traf(tfdt(0), number=3)), "track 3 is not one"),
        (moof(traf(full_box("trun", 0, 0, u32(1)))), "no tfdt"),
        (moof(box("traf", tfdt(0))), "no tfhd"),
        (moof(traf(tfdt(0), full_box("trun", 0, 0x100, u32(2, 40)))), "4 bytes too early"),
        (moof(traf(tfdt(0), full_box("trun", 0, 0, u32(2**32 - 1)))), "samples, more than"),
        (moof(traf(tfdt(0)))[:-1], "says it has"),
    ],
)
def test_malformed_fragment_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(MalformedMp4, match=words):
        fragments(tmp_path, content)


def test_fragment_of_a_track_without_defaults_is_named(tmp_path: Path) -> None:
    movie = boxes.read(written(tmp_path, moov(trak())))
    with pytest.raises(MalformedMp4, match="not one that the init segment has"):
        list(boxes.fragments(movie, written(tmp_path, moof(traf(tfdt(0))), name="a.m4s")))


def test_huge_index_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box_reader, "LARGEST_INDEX_BYTES", 64)
    with pytest.raises(MalformedMp4, match="more than 64"):
        boxes.read(written(tmp_path, moov(trak())))
