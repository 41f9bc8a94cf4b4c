"""Blobs: immutable objects in a space of their own, whole or not there at all."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import unicodedata
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from jobkit.model.blob import BlobRef, BlobSpace
from jobkit.model.blob_location import Place, place_of
from jobkit.model.fence import Fence
from jobkit.ports.blobs import Blobs
from jobkit.testing.conformance.harness import Harness

SPACE = BlobSpace("t", "k", Fence(5, "nonce", "me"))
LONG = "long/" * 100

KEYS = [
    "k",
    "a/b",
    "../../etc",
    ".",
    "..",
    ".hidden",
    "é ü\n",
    "%2E",
    "~",
    "a~b",
    "A",
    "😀" * 100,
    LONG,
    LONG + "x",
    "x" * 512,
]


async def stored(blobs: Blobs, name: str, content: bytes = b"content", space: BlobSpace = SPACE) -> BlobRef:
    async with blobs.scratch(space) as scratch:
        source = scratch / "source"
        source.write_bytes(content)
        return await blobs.store(space, name, source)


async def content(blobs: Blobs, location: str) -> bytes:
    return b"".join([chunk async for chunk in blobs.read(location)])


async def part(blobs: Blobs, location: str, start: int, stop: int | None) -> bytes:
    return b"".join([chunk async for chunk in blobs.read(location, start=start, stop=stop)])


async def locations(blobs: Blobs) -> list[str]:
    return sorted([stored.location async for stored in blobs.objects()])


@pytest.mark.parametrize("size", [0, 1, 3_000_001])
async def test_an_object_reads_back_as_it_was_stored(blobs: Blobs, size: int) -> None:
    data = os.urandom(size)
    ref = await stored(blobs, "hls/0.ts", data)
    assert (ref.name, ref.size, ref.sha256) == ("hls/0.ts", size, hashlib.sha256(data).hexdigest())
    assert await content(blobs, ref.location) == data


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, None), (0, 1), (3, 7), (6, None), (2_500_000, 2_500_001), (2_999_999, None), (5, 5), (5, 9_000_000)],
)
async def test_a_part_of_an_object_is_that_part(blobs: Blobs, start: int, stop: int | None) -> None:
    data = bytes(range(250)) * 12_000
    ref = await stored(blobs, "film.mp4", data)
    assert await part(blobs, ref.location, start, stop) == data[start:stop]
    assert await blobs.size(ref.location) == len(data)


@pytest.mark.parametrize("size", [0, 5])
async def test_beyond_its_end_an_object_has_no_bytes(blobs: Blobs, size: int) -> None:
    ref = await stored(blobs, "a", b"x" * size)
    for start, stop in ((size, None), (size, size + 1), (size + 10, None), (size + 10, size + 20)):
        assert await part(blobs, ref.location, start, stop) == b""


async def test_what_is_not_there_is_said_however_it_is_asked_for(blobs: Blobs) -> None:
    there = await stored(blobs, "a")
    gone = there.location.removesuffix("a") + "b"
    for start, stop in ((0, None), (2, 4), (3, 3)):
        with pytest.raises(FileNotFoundError):
            await part(blobs, gone, start, stop)
    with pytest.raises(FileNotFoundError):
        await blobs.size(gone)


async def test_a_link_gives_the_object_to_whoever_has_it(blobs: Blobs) -> None:
    ref = await stored(blobs, "a b/é.m3u8", b"#EXTM3U")
    link = await blobs.link(ref.location, seconds=60, media_type="application/vnd.apple.mpegurl")
    if link is None:
        return
    # No client of the backend's, and no login.
    async with aiohttp.ClientSession() as session, session.get(URL(link, encoded=True)) as answer:
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/vnd.apple.mpegurl"
        assert await answer.read() == b"#EXTM3U"
    async with aiohttp.ClientSession() as session, session.get(URL(link[:-3] + "000", encoded=True)) as answer:
        assert answer.status == 403
    with pytest.raises(ValueError, match="link"):
        await blobs.link(ref.location, seconds=0, media_type="text/plain")


async def test_an_object_outlives_its_process(blobs_harness: Harness[Blobs]) -> None:
    async with blobs_harness.process() as gone:
        ref = await stored(gone, "a")
    async with blobs_harness.process() as blobs:
        assert await content(blobs, ref.location) == b"content"
        assert await locations(blobs) == [ref.location]


async def test_the_same_name_of_an_attempt_cannot_be_written_twice(blobs: Blobs) -> None:
    ref = await stored(blobs, "a", b"first")
    with pytest.raises(FileExistsError):
        await stored(blobs, "a", b"second")
    assert await content(blobs, ref.location) == b"first"


async def test_of_many_writers_of_one_name_one_wins_and_its_object_is_whole(blobs_harness: Harness[Blobs]) -> None:
    async with blobs_harness.process() as one, blobs_harness.process() as other:
        bodies = [bytes([number]) * 200_000 for number in range(8)]
        answers = await asyncio.gather(
            *(stored((one, other)[number % 2], "a", body) for number, body in enumerate(bodies)), return_exceptions=True
        )
        (winner,) = [answer for answer in answers if isinstance(answer, BlobRef)]
        assert all(isinstance(answer, BlobRef | FileExistsError) for answer in answers)
        data = await content(one, winner.location)
        assert data in bodies
        assert hashlib.sha256(data).hexdigest() == winner.sha256


async def test_attempts_do_not_see_each_other_even_under_an_equal_token(blobs: Blobs) -> None:
    spaces = [BlobSpace("t", "k", fence) for fence in (Fence(5, "a", ""), Fence(5, "b", ""), Fence(6, "a", ""))]
    refs = [await stored(blobs, "x", str(number).encode(), space) for number, space in enumerate(spaces)]
    assert len({ref.location for ref in refs}) == 3
    assert [await content(blobs, ref.location) for ref in refs] == [b"0", b"1", b"2"]


@pytest.mark.parametrize("type", ["t", "u"])
async def test_a_key_may_be_any_string_and_keys_do_not_mix(blobs: Blobs, type: str) -> None:
    refs = {key: await stored(blobs, "x", key.encode(), BlobSpace(type, key, SPACE.fence)) for key in KEYS}
    assert len({ref.location for ref in refs.values()}) == len(KEYS)
    assert await locations(blobs) == sorted(ref.location for ref in refs.values())
    for key, ref in refs.items():
        assert await content(blobs, ref.location) == key.encode()


@pytest.mark.parametrize("name", ["", "/etc/x", "../x", "a/../../x", "a/..", "./x", "a//b", "a/", "x\0y"])
async def test_a_name_that_leaves_its_space_is_refused(blobs: Blobs, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        await stored(blobs, name)
    assert await locations(blobs) == []


@pytest.mark.parametrize(
    "name",
    ["a\\b", "a\nb", "a\x7fb", "a./b", "a ", "a.", "\ud800", "x" * 151, "\u00fc" * 76, "/".join(["x" * 100] * 5) + "x"],
)
async def test_a_name_that_some_file_system_or_server_changes_is_refused_by_all(blobs: Blobs, name: str) -> None:
    with pytest.raises(ValueError, match="blob name"):
        await stored(blobs, name)
    assert await locations(blobs) == []


NAMES = [
    "a",
    "a b/c",
    ".hidden",
    "caf\u00e9",
    unicodedata.normalize("NFD", "caf\u00e9"),
    "%41",
    "~",
    "a~b",
    'a:b*?<>|"',
    "Video.MP4",
    "x" * 150,
    "\u00fc" * 75,
    "/".join(["\u00fc" * 50] * 4),
    "/".join(["b"] * 250),
]


async def test_any_other_name_is_kept_as_it_was_given_and_is_listed_as_it_was_written(blobs: Blobs) -> None:
    refs = {name: await stored(blobs, name, name.encode()) for name in NAMES}
    assert [ref.name for ref in refs.values()] == NAMES
    assert await locations(blobs) == sorted(ref.location for ref in refs.values())
    for name, ref in refs.items():
        assert await content(blobs, ref.location) == name.encode()
        assert ref.location.isascii()
        assert place_of(ref.location) == Place("t/k", 5, "nonce")


async def test_keys_that_differ_in_case_or_encoding_alone_share_nothing_where_those_are_folded(blobs: Blobs) -> None:
    keys = ["Key", "key", "KEY", "\u00e9", unicodedata.normalize("NFD", "\u00e9"), "%C3%A9"]
    refs = [await stored(blobs, "x", space=BlobSpace("t", key, SPACE.fence)) for key in keys]
    folded = {unicodedata.normalize("NFC", ref.location).casefold() for ref in refs}
    assert len(folded) == len(keys)


async def test_a_source_that_is_not_there_is_not_found(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await blobs.store(SPACE, "a", tmp_path / "nosuch")
    assert await locations(blobs) == []


async def test_a_source_that_is_no_file_is_refused(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    for source in (tmp_path, tmp_path / "link"):
        with pytest.raises(ValueError, match="regular file"):
            await blobs.store(SPACE, "a", source)
    assert await locations(blobs) == []


async def test_a_source_elsewhere_on_the_machine_is_stored_too(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"elsewhere")
    assert await content(blobs, (await blobs.store(SPACE, "a", tmp_path / "source")).location) == b"elsewhere"


async def test_writing_to_another_name_of_the_source_changes_no_object(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"as stored")
    (tmp_path / "source").hardlink_to(tmp_path / "mine")
    ref = await blobs.store(SPACE, "a", tmp_path / "source")
    (tmp_path / "mine").write_bytes(b"changed")
    assert await content(blobs, ref.location) == b"as stored"


async def test_scratch_is_empty_private_and_gone_afterwards(blobs: Blobs) -> None:
    async with blobs.scratch(SPACE) as one, blobs.scratch(SPACE) as other:
        assert one != other
        assert list(one.iterdir()) == list(other.iterdir()) == []
        (one / "deep").mkdir()
        (one / "deep" / "file").write_bytes(b"x")
        assert await locations(blobs) == []
    assert not one.exists()
    assert not other.exists()


async def test_scratch_is_gone_after_an_error_too(blobs: Blobs) -> None:
    seen = []

    async def fail() -> None:
        async with blobs.scratch(SPACE) as path:
            seen.append(path)
            (path / "file").write_bytes(b"x")
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        await fail()
    assert not seen[0].exists()


async def test_what_is_not_there_cannot_be_read(blobs: Blobs) -> None:
    ref = await stored(blobs, "a")
    with pytest.raises(FileNotFoundError):
        await content(blobs, ref.location + "x")
    await blobs.delete([ref.location])
    with pytest.raises(FileNotFoundError):
        await content(blobs, ref.location)


async def test_deleting_removes_objects_and_forgives_those_that_are_gone(blobs: Blobs) -> None:
    refs = [await stored(blobs, name) for name in ("a", "b/c", "b/d")]
    await blobs.delete([refs[0].location, refs[1].location])
    await blobs.delete([refs[0].location, refs[1].location])
    await blobs.delete([])
    assert await locations(blobs) == [refs[2].location]
    assert await content(blobs, refs[2].location) == b"content"


async def test_storing_beside_objects_that_are_being_deleted_works(blobs_harness: Harness[Blobs]) -> None:
    async with blobs_harness.process() as writer, blobs_harness.process() as sweeper:

        async def write(number: int) -> str:
            ref = await stored(writer, "a/b/c", space=BlobSpace("t", "k", Fence(number, "n", "")))
            if number % 2:
                await sweeper.delete([ref.location])
            return ref.location

        written = await asyncio.gather(*(write(number) for number in range(40)))
        assert await locations(writer) == sorted(location for number, location in enumerate(written) if number % 2 == 0)


async def test_objects_are_listed_with_their_sizes_and_those_of_a_key_side_by_side(blobs: Blobs) -> None:
    for number in range(3):
        for key in ("k", "k1", "j"):
            space = BlobSpace("t", key, Fence(number, "n", ""))
            await stored(blobs, "a/b", b"x" * number, space)
            await stored(blobs, "c", b"x" * number, space)
    found = [stored async for stored in blobs.objects()]
    keys = [location.location.split("/")[1] for location in found]
    assert [key for key, _ in itertools.groupby(keys)] == list(dict.fromkeys(keys))
    assert sorted(entry.size for entry in found) == sorted(list(range(3)) * 6)


async def test_nothing_is_left_over_of_writes_that_ended_well(blobs: Blobs) -> None:
    await stored(blobs, "a")
    async with blobs.scratch(SPACE):
        assert [leftover async for leftover in blobs.leftovers()] == []
    await blobs.discard([])
    assert len(await locations(blobs)) == 1


async def test_listing_goes_on_while_objects_disappear(blobs: Blobs) -> None:
    refs = [await stored(blobs, "x", space=BlobSpace("t", f"k{number}", SPACE.fence)) for number in range(20)]
    seen = 0
    async for _ in blobs.objects():
        seen += 1
        if seen == 1:
            await blobs.delete([ref.location for ref in refs])
    assert 1 <= seen <= 20
    assert await locations(blobs) == []


@pytest.mark.parametrize("location", ["../outside", "/etc/passwd", "t/../../x", ""])
async def test_a_location_outside_of_the_objects_is_refused(blobs: Blobs, location: str) -> None:
    with pytest.raises(ValueError, match="name"):
        await content(blobs, location)
    with pytest.raises(ValueError, match="name"):
        await blobs.delete([location])
