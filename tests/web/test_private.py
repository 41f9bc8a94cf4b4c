"""What jobs say is masked where it is secret, and for operators alone where their type is private."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import PlainSerializer, SecretStr

from jobkit import Context, Payload, processor
from jobkit.plugin.registry import Registry
from jobkit.settings import Settings
from jobkit.web.application import WebApplication
from jobkit.web.rendering import NOTHING
from tests.files.site import file_site, film
from tests.web.site import Reader, Site, fields_of, note

OPERATOR, VIEWER = "operator-token-1", "viewer-token-123"


Pin = Annotated[SecretStr, PlainSerializer(lambda pin: pin.get_secret_value(), when_used="json")]


class Letter(Payload):
    """Something for one reader."""

    to: str
    text: str = ""
    pin: Pin = SecretStr("")


class Sealed(Payload):
    """What came of it."""

    pin: Pin
    pages: int = 1


@processor("letter", key=lambda job: job.to, private=True)
async def letter(job: Letter, ctx: Context) -> Sealed:
    """Only names the type."""
    return Sealed(pin=job.pin)


class Narrow(Payload):
    """What a letter is today."""

    to: str
    text: int
    pin: Pin = SecretStr("")
    pages: int
    extra: str = "x"


@processor("letter", key=lambda job: job.to, private=True)
async def narrow(job: Narrow, ctx: Context) -> None:
    """Only names the type."""


async def seen(site: Site, path: str, token: str, *types: object) -> str:
    """Return what somebody sees who has a token."""
    reader = site.reader(*types, web_token=OPERATOR, web_viewer_token=VIEWER)
    reader.headers["authorization"] = f"Bearer {token}"
    return (await reader.get(path)).words


async def accepted(site: Site, id: str) -> str:
    payload = {"to": id, "text": "meet me at six", "pin": "4711"}
    new = Registry([letter]).new_job("letter", payload, id=id, submitted_at=1_700_000_000.0)
    await site.planes.store.submit([new])
    return id


async def test_what_private_jobs_say_is_for_operators(site: Site) -> None:
    waits, dead, done = [await accepted(site, id) for id in ("waits", "dead", "done")]
    number = await site.buried(dead)
    await site.committed(done, b'{"pin": "4711", "pages": 3}')
    for path, said in ((f"/jobs/{waits}", "at six"), (f"/dead/{number}", "at six"), (f"/jobs/{done}", '"pages": 3')):
        assert said in await seen(site, path, OPERATOR, letter), path
        assert said not in await seen(site, path, VIEWER, letter), path
        # Nobody can tell here whether a type that is not loaded is private.
        assert said not in await seen(site, path, VIEWER, note), path
        for token in (OPERATOR, VIEWER):
            assert "4711" not in await seen(site, path, token, letter), path
    assert "for operators to see" in await seen(site, "/keys/letter/done", VIEWER, letter)
    assert "for operators to see" not in await seen(site, "/keys/letter/done", OPERATOR, letter)


async def test_files_of_a_private_type_are_for_operators(tmp_path: Path) -> None:
    async with file_site(tmp_path) as made:
        await made.commit({"page.txt": b"at six"})
        for private, token, status in ((True, VIEWER, 403), (True, OPERATOR, 200), (False, VIEWER, 200)):
            settings = Settings(web_token=OPERATOR, web_viewer_token=VIEWER)  # type: ignore[arg-type]
            registry = Registry([replace(film, private=private)])
            reader = Reader(WebApplication(made.planes, registry, settings))
            reader.headers["authorization"] = f"Bearer {token}"
            assert (await reader.get("/files/film/k/page.txt")).status == status, (private, token)


async def test_viewers_see_what_others_say(site: Site) -> None:
    id = await site.submitted("k", "for everybody")
    assert "for everybody" in await seen(site, f"/jobs/{id}", VIEWER, note)


async def test_secrets_are_masked_in_what_todays_model_does_not_take_and_kept_when_it_is_edited(site: Site) -> None:
    number = await site.buried(await accepted(site, "dead"))
    for token in (OPERATOR, VIEWER):
        assert "4711" not in await seen(site, f"/dead/{number}", token, narrow)
    said = await seen(site, f"/dead/{number}", OPERATOR, narrow)
    # Field by field: what fits, what is wrong, what is missing, what is known no more.
    assert re.search(r"to \S*dead\S* str fits", said)
    assert re.search(rf"pages {NOTHING} int missing: it is needed", said)
    assert re.search(rf"extra {NOTHING} str not given: 'x'", said)
    assert re.search(r"pin •+ SecretStr fits", said)
    assert re.search(r"text \S*meet me at six\S* int Input should be a valid integer", said)
    assert "missing" not in await seen(site, f"/dead/{number}", VIEWER, narrow)
    reader = site.reader(letter)
    page = await reader.get(f"/do/requeue-edited?number={number}")
    assert "4711" not in page.text
    payload = fields_of(page)["payload"].replace("six", "seven")
    done = await reader.confirmed("requeue-edited", {"payload": payload}, number=str(number))
    assert done.status == 303, done.words
    (job,) = [job for job in await site.planes.inspection.jobs(type="letter") if job.id.startswith("dead@")]
    envelope = await site.planes.inspection.envelope(job.id)
    assert envelope is not None
    assert json.loads(envelope.body) == {"to": "dead", "text": "meet me at seven", "pin": "4711"}


async def test_secrets_are_masked_in_a_result_that_todays_model_does_not_take(site: Site) -> None:
    id = await accepted(site, "done")
    await site.committed(id, b'{"pin": "4711", "pages": "many"}')
    said = await seen(site, f"/jobs/{id}", OPERATOR, letter)
    assert '"pages": "many"' in said
    assert "4711" not in said
