"""Names are what they were given as, within one bound each."""

from __future__ import annotations

import unicodedata
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobkit import Context, processor
from jobkit.errors import EffectInvalid, PayloadInvalid
from jobkit.model.blob_location import keyed, location_of, place_of, quoted, unquoted
from jobkit.model.fence import Fence
from jobkit.model.names import JOB_ID, KEY, KIND, PROJECTION, RECORD, blob_name, folded
from jobkit.plugin.registry import Registry
from jobkit.ports.blobs import BlobSpace
from jobkit.testing import run_job
from tests.steps import Step, step


class Named(str, Enum):  # noqa: UP042  (the kind whose text differs from its value)
    """A text with a mind of its own."""

    NAME = "name"

    def __str__(self) -> str:
        return "Named.NAME"


@pytest.mark.parametrize("rule", [KEY, JOB_ID, RECORD, KIND, PROJECTION])
def test_a_name_is_bounded_in_bytes_and_comes_back_as_plain_text(rule: Any) -> None:
    for name in ("x" * rule.limit, "\u00fc" * (rule.limit // 2), " ", "a/b", "\u202e"):
        assert rule.check(name) == name
    assert type(rule.check(Named.NAME)) is str
    assert f"{rule.check(Named.NAME)}" == "name"
    for wrong in ("", "x" * (rule.limit + 1), "\u00fc" * rule.limit, "a\0", "a\n", "\x7f", "\x85", "\ud800", 5, None):
        with pytest.raises(ValueError, match=f"^{rule.what} must be "):
            rule.check(wrong)


def test_spellings_that_look_alike_are_two_names() -> None:
    composed = "caf\u00e9"
    decomposed = unicodedata.normalize("NFD", composed)
    assert KEY.check(composed) != KEY.check(decomposed)
    jobs = [Registry([step]).new_job("step", Step(), key=key).envelope for key in (composed, decomposed)]
    assert jobs[0].key != jobs[1].key
    assert keyed("t", composed) != keyed("t", decomposed)


def test_a_type_key_and_id_of_an_enum_are_the_texts_that_they_are() -> None:
    class Type(str, Enum):  # noqa: UP042
        STEP = "step"

    envelope = Registry([step]).new_job(Type.STEP, Step(), key=Named.NAME, id=Named.NAME).envelope
    assert [type(name) for name in (envelope.type, envelope.key, envelope.id)] == [str] * 3
    assert (envelope.type, envelope.key, envelope.id) == ("step", "name", "name")


@pytest.mark.parametrize("id", ["", "a\nb", "x" * 201, "\u200b\u202e"])
def test_an_id_that_cannot_be_shown_is_refused(id: str) -> None:
    with pytest.raises(PayloadInvalid, match="a job id must be"):
        Registry([step]).new_job("step", Step(), id=id)


@given(st.text(max_size=200))
def test_any_text_is_one_part_of_a_location_that_survives_folding(text: str) -> None:
    part = quoted(text)
    assert part.isascii()
    assert part.isprintable()
    assert len(part) <= 150
    assert "/" not in part
    if len(part) < 80:
        assert unquoted(part) == text
    assert folded(quoted(text.swapcase())) != folded(part) or text.swapcase() == text


@given(st.text(min_size=1, max_size=60))
def test_any_blob_name_is_refused_or_has_a_location_that_is_known_again(name: str) -> None:
    space = BlobSpace("t", "k", Fence(3, "n.1", "me"))
    try:
        plain = blob_name(name)
    except ValueError:
        with pytest.raises(ValueError, match="blob name"):
            location_of(space, name)
        return
    location = location_of(space, plain)
    assert location.isascii()
    assert place_of(location) is not None


@pytest.mark.parametrize("location", ["t/k/3-n.1/My File", "t/k/3-n.1/a\\b", "t/k/3-n.1/caf\u00e9", "t/k/3-n.1/%ff"])
def test_what_jobkit_cannot_have_written_is_foreign(location: str) -> None:
    assert place_of(location) is None


@pytest.mark.parametrize(("one", "other"), [("Poster.jpg", "poster.jpg"), ("\u00e9", "e\u0301"), ("a/B/c", "A/b/c")])
async def test_two_blobs_that_some_file_system_takes_for_one_are_refused(one: str, other: str) -> None:
    @processor("twins", key=lambda job: job.on)
    async def twins(job: Step, ctx: Context) -> None:
        for name in (one, other):
            async with ctx.blobs.create(name) as path:
                path.write_bytes(b"x")

    with pytest.raises(EffectInvalid, match="in case or in how its letters are encoded alone"):
        await run_job(twins, Step())


@pytest.mark.parametrize(("one", "other"), [("a", "a/b"), ("a/b/c", "A"), ("a", "A/b/c")])
async def test_a_blob_that_would_be_a_file_and_a_folder_at_once_is_refused(one: str, other: str) -> None:
    @processor("twins", key=lambda job: job.on)
    async def twins(job: Step, ctx: Context) -> None:
        async with ctx.blobs.create(one) as path:
            path.write_bytes(b"x")
        async with ctx.blobs.create(other):
            pytest.fail("it got a path")

    with pytest.raises(EffectInvalid, match="a file and a folder at once"):
        await run_job(twins, Step())


async def test_a_file_in_a_directory_that_no_blob_can_be_named_after_is_told_by_name() -> None:
    @processor("folder", key=lambda job: job.on)
    async def folder(job: Step, ctx: Context) -> None:
        async with ctx.blobs.directory("pages") as path:
            (path / "a\\b").write_bytes(b"x")

    with pytest.raises(EffectInvalid, match=r"blob name 'pages/a.*' must be a relative path"):
        await run_job(folder, Step())


async def test_a_blob_keeps_the_name_that_it_was_given() -> None:
    @processor("named", key=lambda job: job.on)
    async def named(job: Step, ctx: Context) -> None:
        for name in ("My File.txt", "caf\u00e9/e\u0301\u00fc", "%41"):
            async with ctx.blobs.create(name) as path:
                path.write_bytes(name.encode())

    outcome = await run_job(named, Step())
    assert outcome.blobs == {name: name.encode() for name in ("My File.txt", "caf\u00e9/e\u0301\u00fc", "%41")}
