"""Programs without a worker's code: types are published by workers, and payloads checked against them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, PlainValidator

from jobkit import Client, Context, Payload, Result, processor
from jobkit.errors import PayloadInvalid, TypeUnreadable, UnknownType
from jobkit.plugin.registry import Registry
from jobkit.plugin.type_definition import DIALECT, definition_in, definition_of, published
from jobkit.ports.types import PublishedType
from tests.steps import Step, step
from tests.virtual_site import Site, in_virtual_time, open_site


class Rung(BaseModel):
    height: int = Field(gt=0)


class Encode(Payload):
    source: str
    rungs: tuple[Rung, ...] = ()
    mode: Literal["fast", "good"] = "good"
    due: datetime | None = None


class Encoded(Result):
    bytes: int


@processor("encode", key=lambda job: job.source)
async def encode(job: Encode, ctx: Context) -> Encoded:
    """Encode a video.

    All of it.
    """
    return Encoded(bytes=len(job.rungs))


class Odd(Payload):
    name: str
    what: Annotated[Any, PlainValidator(str)] = None


@processor("odd", key=lambda job: job.name)
async def odd(job: Odd, ctx: Context) -> None:
    """Take what JSON Schema cannot say."""


@processor("take", key=lambda job: job.on, group="shelf")
async def take(job: Step, ctx: Context) -> int:
    """Take something from a shelf."""
    return job.number


def without_code(site: Site) -> Client:
    return Client(site.planes, Registry([]), site.settings, site.clock)


@in_virtual_time
async def test_a_program_without_the_code_submits_and_reads_the_result() -> None:
    async with open_site(encode, take) as site:
        worker = site.start()
        client = without_code(site)
        await site.until(lambda: _published(client, 2))
        submission = await client.submit(
            "encode", {"source": "a", "rungs": [{"height": 1}], "due": "2026-01-01T00:00Z"}
        )
        assert await client.handle(submission.id).result(60) == {"bytes": 1}
        assert (await client.status(submission.id)).key == "a"
        grouped = await client.submit("take", {"number": 5}, key="k")
        assert grouped.type == "shelf"
        assert await client.handle(grouped.id).result(60) == 5
        assert worker.error is None


async def _published(client: Client, count: int) -> bool:
    return len(await client.types()) == count


@in_virtual_time
async def test_what_is_wrong_with_a_payload_is_told_by_the_field() -> None:
    async with open_site(encode) as site:
        site.start()
        client = without_code(site)
        await site.until(lambda: _published(client, 1))
        wrong: dict[str, dict[str, Any]] = {
            "payload: 'source' is a required property": {},
            "rungs.0.height: -5 is less than or equal to the minimum of 0": {"source": "a", "rungs": [{"height": -5}]},
            "mode: 'best' is not one of": {"source": "a", "mode": "best"},
            "payload: Additional properties are not allowed ('sauce' was unexpected)": {"source": "a", "sauce": 1},
            "source: 1 is not of type 'string'": {"source": 1},
        }
        for message, payload in wrong.items():
            with pytest.raises(PayloadInvalid) as refused:
                await client.submit("encode", payload)
            assert message in str(refused.value)
            assert "type 'encode' is not valid by the schema that its workers published" in str(refused.value)
        with pytest.raises(PayloadInvalid, match="is not JSON"):
            await client.submit("encode", b"{")
        with pytest.raises(PayloadInvalid, match="is not JSON"):
            await client.submit("encode", {"source": float("nan")})
        assert await site.planes.inspection.jobs() == []


@in_virtual_time
async def test_an_ordered_job_without_its_code_needs_a_key() -> None:
    async with open_site(step) as site:
        site.start()
        client = without_code(site)
        await site.until(lambda: _published(client, 1))
        with pytest.raises(PayloadInvalid, match="is ordered, and only its code makes a key of a payload: say which"):
            await client.submit("step", {"number": 1})
        submission = await client.submit("step", {"number": 3}, key="k")
        assert (submission.key, submission.sequence) == ("k", 1)
        assert await client.handle(submission.id).result(60) == 3


@in_virtual_time
async def test_a_type_that_nobody_has_published_is_unknown() -> None:
    async with open_site(encode) as site:
        with pytest.raises(UnknownType, match=r"no processor for job type 'encode' .* Nor has a worker published it"):
            await without_code(site).submit("encode", {"source": "a"})


@in_virtual_time
async def test_what_passed_an_old_schema_only_is_looked_up_before_it_is_refused() -> None:
    async with open_site(encode) as site:
        client = without_code(site)
        old = definition_of(encode)
        narrow = {**old.payload, "properties": {"source": old.payload["properties"]["source"]}}
        await site.planes.inspection.save_types([published(type(old)("encode", None, False, "", narrow, old.result))])
        with pytest.raises(PayloadInvalid, match="mode"):
            await client.submit("encode", {"source": "a", "mode": "fast"})
        # A newer worker has begun; the client has the old schema in mind still.
        await site.planes.inspection.save_types([published(old)])
        assert (await client.submit("encode", {"source": "a", "mode": "fast"})).type == "encode"


@in_virtual_time
async def test_publishing_again_is_the_same_and_the_latest_worker_has_its_word() -> None:
    async with open_site(encode) as site:
        first = site.start("a")
        await site.until(lambda: _published(site.client, 1))
        await first.drain()
        (before,) = await site.client.types()
        await site.clock.sleep(10)
        site.start("b")

        async def renewed() -> bool:
            return (await site.client.types())[0].published_at > before.published_at

        await site.until(renewed)
        (after,) = await site.client.types()
        assert (after.payload, after.result) == (before.payload, before.result)


def test_a_definition_says_what_goes_in_and_what_comes_out() -> None:
    definition = definition_of(encode)
    assert (definition.name, definition.group, definition.kept_as, definition.ordered) == (
        "encode",
        None,
        "encode",
        False,
    )
    assert definition.description == "Encode a video.\n\nAll of it."
    assert definition.payload["$schema"] == DIALECT
    assert definition.payload["required"] == ["source"]
    assert definition.result["properties"] == {"bytes": {"title": "Bytes", "type": "integer"}}
    assert definition_in(published(definition)) == definition
    assert definition_of(take).kept_as == "shelf"


def test_what_json_schema_has_no_words_for_may_be_anything() -> None:
    definition = definition_of(odd)
    assert definition.payload["properties"]["what"].get("type") is None
    assert definition.result["type"] == "null"


@pytest.mark.parametrize("kept", [b"", b"[]", b"{}", b'{"format": 2}', b'{"format": 1, "name": "a"}'])
def test_what_another_version_has_written_is_said_to_be_unreadable(kept: bytes) -> None:
    with pytest.raises(TypeUnreadable, match="job type 'a' was published by another version of jobkit"):
        definition_in(PublishedType("a", kept))
