"""A key server on the loopback: what it is asked, and what its answers mean."""

from __future__ import annotations

import json
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr, ValidationError

from jobkit import Reject
from workers.transcode.content_key import ContentKey, KeyRequest
from workers.transcode.errors import KeyUnavailable
from workers.transcode.key_server import KeyServer
from workers.transcode.key_sources import ask_key
from workers.transcode.settings import TranscodeSettings

KEY = "00112233445566778899aabbccddeeff"
REQUEST = KeyRequest("v1", "id-1", "aes-128")


@asynccontextmanager
async def answering(status: int, text: str, **headers: str) -> AsyncIterator[tuple[str, list[Any]]]:
    """Serve one answer; yields the address, and what is asked there."""
    asked: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.headers.get("authorization"), await request.json()))
        return web.Response(status=status, text=text, headers=headers)

    application = web.Application()
    application.router.add_post("/keys", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}/keys", asked
    finally:
        await runner.cleanup()


async def test_it_is_asked_by_video_and_key_id_and_shown_the_token() -> None:
    said = json.dumps({"key": KEY, "uri": "https://keys.example.com/1"})
    async with answering(200, said) as (url, asked):
        settings = TranscodeSettings(key_source=url, key_token=SecretStr("open"))
        found = await ask_key(settings, "v1", "job-1", "aes-128")
    assert found.content == ContentKey(bytes.fromhex(KEY), "https://keys.example.com/1")
    request = {"video_id": "v1", "key_id": found.request.key_id, "encryption": "aes-128"}
    assert asked == [("Bearer open", request)]
    assert "open" not in repr(settings)


@pytest.mark.parametrize("status", [500, 503, 429, 408])
async def test_answer_that_another_time_may_not_give_is_tried_again(status: int) -> None:
    async with answering(status, "") as (url, _):
        with pytest.raises(KeyUnavailable, match=str(status)):
            await KeyServer(url, None)(REQUEST)


@pytest.mark.parametrize("status", [204, 302, 401, 403, 404])
async def test_refusal_is_final_and_no_redirect_is_followed(status: int) -> None:
    async with answering(status, "", location="/keys") as (url, asked):
        with pytest.raises(Reject, match=f"it answered {status}"):
            await KeyServer(url, None)(REQUEST)
    assert len(asked) == 1
    assert asked[0][0] is None


async def test_server_that_is_away_is_asked_again() -> None:
    async with answering(200, "") as (url, _):
        pass
    with pytest.raises(KeyUnavailable, match="cannot be asked"):
        await KeyServer(url, None)(REQUEST)


@pytest.mark.parametrize(
    "said",
    [
        "",
        KEY,
        json.dumps(KEY),
        json.dumps([KEY]),
        json.dumps({"key": KEY}),
        json.dumps({"key": KEY[:-2], "uri": "u"}),
        json.dumps({"key": KEY, "uri": 'a"b'}),
        json.dumps({"key": [KEY], "uri": "u"}),
        json.dumps({"key": f"x{KEY}", "uri": "u"}),
        json.dumps({"key": KEY, "uri": "u", "more": "x" * 20_000}),
    ],
)
async def test_answer_that_makes_no_sense_is_refused_without_being_quoted(said: str) -> None:
    async with answering(200, said) as (url, _):
        with pytest.raises(Reject, match="the key server's answer") as caught:
            await KeyServer(url, None)(REQUEST)
    assert KEY[:-2] not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "value",
    [
        "http://keys.example.com/1",
        "ftp://keys.example.com/1",
        "https://",
        "https://name:word@keys.example.com/",
        "keys.example.com",
        "a module:give",
    ],
)
def test_key_source_that_is_none_is_refused_at_the_start(value: str) -> None:
    with pytest.raises(ValidationError, match="key_source"):
        TranscodeSettings(key_source=value)


@pytest.mark.parametrize("value", ["https://keys.example.com/1", "http://localhost:8080/", "mine.keys:give"])
def test_key_source_is_an_address_or_a_function(value: str) -> None:
    assert TranscodeSettings(key_source=value).key_source == value
