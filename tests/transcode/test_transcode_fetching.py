"""Sources that are fetched: from a real HTTP server on loopback that breaks, redirects and changes as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from jobkit import Reject
from jobkit.model.clock import SystemClock
from workers.transcode.errors import SourceUnreachable
from workers.transcode.fetching import FILE, FetchedSource, allowed_host
from workers.transcode.https_source import HttpsRemotes
from workers.transcode.settings import TranscodeSettings

CONTENT = bytes(range(256)) * 4096
ALLOWED = {"source_hosts": "127.0.0.1,localhost", "source_networks": "127.0.0.0/8,::1/128", "source_http": True}

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class QuickClock(SystemClock):
    """A clock whose pauses are over at once."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(0)


@dataclass
class Origin:
    """Gives `content` out; `breaks` are after how many bytes the next connections break."""

    content: bytes = CONTENT
    tag: str = '"one"'
    port: int = 0
    breaks: list[int] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    answer: Answer | None = None
    taken: Path | None = None

    def url(self, path: str = "/film.mp4", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def until_taken(self, start: int) -> None:
        """Wait until a client has written what comes after `start`."""
        while self.taken is not None:
            await asyncio.sleep(0.002)
            if self.taken.stat().st_size > start:
                return

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.answer is not None and request.path == "/film.mp4":
            return await self.answer(request)
        wanted = request.headers.get("range")
        self.ranges.append(wanted)
        start = 0
        if wanted is not None and request.headers.get("if-range") == self.tag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        rest = self.content[start:]
        headers = {"etag": self.tag, "content-length": str(len(rest))}
        if start:
            headers["content-range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
        response = web.StreamResponse(status=206 if start else 200, headers=headers)
        await response.prepare(request)
        if self.breaks:
            await response.write(rest[: self.breaks.pop(0)])
            # What a client has not read by then is lost to it.
            await self.until_taken(start)
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(rest)
        return response


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    origin = Origin()
    application = web.Application()
    application.router.add_get("/{path:.*}", origin.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    origin.port = runner.addresses[0][1]
    try:
        yield origin
    finally:
        await runner.cleanup()


def source_in(folder: Path, *, most_bytes: int = 2**30, seconds: float = 60.0, **changes: object) -> FetchedSource:
    settings = TranscodeSettings.model_validate({**ALLOWED, **changes})
    return FetchedSource(HttpsRemotes(settings), folder, most_bytes, seconds, QuickClock())


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@asynccontextmanager
async def fetched(source: FetchedSource, url: str) -> AsyncIterator[bytes]:
    async with source.open(url):
        yield (source.directory / FILE).read_bytes()


async def refusal(source: FetchedSource, url: str) -> str:
    with pytest.raises(Reject) as caught:
        async with source.open(url):
            pass
    assert left_in(source.directory) == []
    return str(caught.value)


async def test_it_comes_whole_and_is_gone_afterwards(origin: Origin, tmp_path: Path) -> None:
    source = source_in(tmp_path)
    async with source.open(origin.url()) as opened:
        assert (tmp_path / FILE).read_bytes() == CONTENT
        assert (opened.size, opened.stays) == (len(CONTENT), False)
    assert left_in(tmp_path) == []


async def test_a_broken_connection_is_taken_up_where_it_broke(origin: Origin, tmp_path: Path) -> None:
    origin.breaks, origin.taken = [300_000, 200_000], tmp_path / FILE
    async with fetched(source_in(tmp_path), origin.url()) as content:
        assert content == CONTENT
    assert origin.ranges[0] is None
    starts = [int(one.removeprefix("bytes=").removesuffix("-")) for one in origin.ranges[1:] if one]
    assert len(starts) == 2
    assert starts == sorted(starts)
    assert 0 < starts[0] <= 300_000


async def test_another_version_is_fetched_from_its_beginning(origin: Origin, tmp_path: Path) -> None:
    async def changing(request: web.Request) -> web.StreamResponse:
        origin.answer = None
        response = await origin.handle(request)
        origin.tag, origin.content = '"two"', CONTENT[::-1]
        return response

    origin.answer, origin.breaks = changing, [300_000]
    async with fetched(source_in(tmp_path), origin.url()) as content:
        assert content == CONTENT[::-1]


async def test_a_server_that_gives_nothing_more_is_left_to_another_attempt(origin: Origin, tmp_path: Path) -> None:
    async def busy(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    origin.answer = busy
    with pytest.raises(SourceUnreachable, match="answered 503"):
        async with source_in(tmp_path).open(origin.url()):
            pass
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_what_cannot_be_had_is_a_reject(origin: Origin, tmp_path: Path, status: int) -> None:
    async def gone(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    origin.answer = gone
    assert f"answered {status}" in await refusal(source_in(tmp_path), origin.url())


async def test_redirects_are_followed_to_where_it_is_allowed_and_nowhere_else(origin: Origin, tmp_path: Path) -> None:
    leads = ["/other.mp4"]

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(leads[-1])

    origin.answer = elsewhere
    async with fetched(source_in(tmp_path), origin.url()) as content:
        assert content == CONTENT
    refused = {
        "http://169.254.169.254/latest/meta-data": "does not name its host",
        f"http://user:secret@127.0.0.1:{origin.port}/x": "neither name nor password",
        "file:///etc/passwd": "not https",
        origin.url(): "for ever",
    }
    for to, reason in refused.items():
        leads.append(to)
        assert reason in await refusal(source_in(tmp_path), origin.url())


async def test_no_private_address_is_asked_by_number_or_by_name(origin: Origin, tmp_path: Path) -> None:
    closed = source_in(tmp_path, source_networks="")
    assert "no public address" in await refusal(closed, origin.url())
    assert "no public address" in await refusal(closed, origin.url(host="localhost"))
    assert "JOBKIT_TRANSCODE_SOURCE_NETWORKS" in await refusal(closed, origin.url())
    assert origin.ranges == []


async def test_plain_http_is_taken_only_where_it_is_allowed(origin: Origin, tmp_path: Path) -> None:
    assert "not https" in await refusal(source_in(tmp_path, source_http=False), origin.url())


async def test_what_is_too_large_is_refused_before_it_comes(origin: Origin, tmp_path: Path) -> None:
    assert "MAX_SOURCE_MB" in await refusal(source_in(tmp_path, most_bytes=1000), origin.url())


async def test_what_does_not_say_how_large_it_is_ends_at_the_bound(origin: Origin, tmp_path: Path) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for _ in range(100):
            await response.write(CONTENT)
        return response

    origin.answer = endless
    assert "MAX_SOURCE_MB" in await refusal(source_in(tmp_path, most_bytes=3 * len(CONTENT)), origin.url())


async def test_what_takes_too_long_is_given_up(origin: Origin, tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachable, match="FETCH_TIMEOUT"):
        async with source_in(tmp_path, seconds=-1.0).open(origin.url()):
            pass


async def test_an_empty_source_is_refused(origin: Origin, tmp_path: Path) -> None:
    origin.content = b""
    assert "is empty" in await refusal(source_in(tmp_path), origin.url())


@pytest.mark.parametrize(
    ("host", "allowed", "is_allowed"),
    [
        ("media.example.com", ("media.example.com",), True),
        ("MEDIA.example.com.", ("media.example.com",), True),
        ("a.b.example.com", (".example.com",), True),
        ("example.com", (".example.com",), False),
        ("evil-example.com", (".example.com", "example.com"), False),
        ("example.com.evil.net", ("example.com", ".example.com"), False),
    ],
)
def test_hosts_are_named_exactly_or_all_below_one(host: str, allowed: tuple[str, ...], *, is_allowed: bool) -> None:
    assert allowed_host(host, allowed) is is_allowed
