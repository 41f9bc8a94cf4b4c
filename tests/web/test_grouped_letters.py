"""Dead letters of types in a group: shown by their own payload, and edited as such."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import PlainSerializer, SecretStr

from jobkit import Context, Payload, processor
from jobkit.plugin.registry import Registry
from jobkit.web.masking import MASK
from tests.web.site import Site, fields_of

Pin = Annotated[SecretStr, PlainSerializer(lambda pin: pin.get_secret_value(), when_used="json")]


class Chunk(Payload):
    """A part of a video."""

    video: str
    pin: Pin = SecretStr("")


@processor("chunk", key=lambda job: job.video, group="uploads")
async def chunk(job: Chunk, ctx: Context) -> None:
    """Only names the type."""


async def test_a_dead_letter_of_a_group_is_edited(site: Site) -> None:
    new = Registry([chunk]).new_job("chunk", {"video": "v", "pin": "4711"}, id="c", submitted_at=1_700_000_000.0)
    await site.planes.store.submit([new])
    number, reader = str(await site.buried("c")), site.reader(chunk)
    page = await reader.get(f"/do/requeue-edited?number={number}")
    assert json.loads(fields_of(page)["payload"]) == {"video": "v", "pin": MASK}
    done = await reader.confirmed("requeue-edited", number=number)
    assert done.status == 303, done.words
    (job,) = [job for job in await site.planes.inspection.jobs(type="uploads") if job.id.startswith("c@")]
    envelope = await site.planes.inspection.envelope(job.id)
    assert envelope is not None
    assert json.loads(envelope.body) == {"chunk": {"video": "v", "pin": "4711"}}
    left = json.dumps({"video": MASK, "pin": MASK})
    refused = await reader.confirmed("requeue-edited", {"payload": left}, number=number)
    assert refused.status == 409
    assert "give the secrets anew" in refused.words


async def test_a_dead_letter_that_names_no_type_of_its_group_is_edited_to_name_one(site: Site) -> None:
    new = Registry([chunk]).new_job("chunk", {"video": "v"}, id="c", submitted_at=1_700_000_000.0)
    await site.planes.store.bury_message(b'{"video": "v"}', new.envelope, reason="it names no type")
    (letter,) = await site.planes.inspection.dead(limit=9)
    reader, payload = site.reader(chunk), json.dumps({"chunk": {"video": "w"}})
    done = await reader.confirmed("requeue-edited", {"payload": payload}, number=str(letter.number))
    assert done.status == 303, done.words


async def test_what_names_no_type_of_a_group_that_has_secrets_is_masked(site: Site) -> None:
    new = Registry([chunk]).new_job("chunk", {"video": "v"}, id="c", submitted_at=1_700_000_000.0)
    await site.planes.store.bury_message(b'{"video": "v", "pin": "4711"}', new.envelope, reason="it names no type")
    (letter,) = await site.planes.inspection.dead(limit=9)
    assert "4711" not in (await site.reader(chunk).get(f"/dead/{letter.number}")).text
