"""Sources at `https://` addresses: of hosts that the worker's settings name, at public addresses, redirects included.

A name is resolved once, its addresses are judged, and the connection goes to one of those that were judged.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from yarl import URL

from jobkit import Reject
from workers.transcode.fetching import Broken, Part, Remote, allowed_host
from workers.transcode.settings import TranscodeSettings
from workers.transcode.source import shown_reference
from workers.webhook.addresses import AddressRefused, check_literal
from workers.webhook.resolver import CheckedResolver

_MOST_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_PASSING = {408, 425, 429}
_SETTING = "JOBKIT_TRANSCODE_SOURCE_NETWORKS"


@dataclass(frozen=True, slots=True)
class HttpsRemotes:
    """What a worker may fetch by HTTP."""

    settings: TranscodeSettings

    @asynccontextmanager
    async def named(self, reference: str) -> AsyncIterator[Remote]:
        """Open a session for one source. Raises `Reject` where its address is none that may be asked."""
        resolver = CheckedResolver(self.settings.source_networks, setting=_SETTING)
        silence = self.settings.stall_timeout
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=silence, sock_read=silence),
            auto_decompress=False,
            headers={"user-agent": "jobkit-transcode/1", "accept-encoding": "identity"},
        ) as session:
            yield _HttpsRemote(session, self.settings, reference)


@dataclass(frozen=True, slots=True)
class _HttpsRemote:
    session: aiohttp.ClientSession
    settings: TranscodeSettings
    reference: str

    @asynccontextmanager
    async def part(self, start: int, tag: str | None) -> AsyncIterator[Part]:
        # Without a tag nothing tells whether the rest is of the same version.
        headers = {"range": f"bytes={start}-", "if-range": tag} if start and tag else {}
        try:
            async with self._answer(headers) as response:
                yield self._part(response)
        except AddressRefused as error:
            raise Reject(f"source {shown_reference(self.reference)}: {error}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            refused = _refusal(error)
            if refused is not None:
                raise Reject(f"source {shown_reference(self.reference)}: {refused}") from error
            raise Broken(str(error) or type(error).__name__) from error

    @asynccontextmanager
    async def _answer(self, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """Follow redirects, each of which is checked as the first address is."""
        url = self._checked(self.reference)
        for _ in range(_MOST_REDIRECTS + 1):
            async with self.session.get(url, headers=headers, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    yield response
                    return
                url = self._checked(response.headers.get("location", ""), url)
        raise Reject(f"source {shown_reference(self.reference)} leads from one address to another for ever")

    def _checked(self, address: str, base: URL | None = None) -> URL:
        named = shown_reference(address)
        try:
            url = URL(address) if base is None else base.join(URL(address))
        except ValueError as error:
            raise Reject(f"source {named} is no address") from error
        if url.scheme != "https" and not (url.scheme == "http" and self.settings.source_http):
            raise Reject(f"source {named} is not https: JOBKIT_TRANSCODE_SOURCE_HTTP=true allows others")
        if url.host is None or url.user is not None or url.password is not None:
            raise Reject(f"source {named}: an address has a host, and neither name nor password")
        if not allowed_host(url.host, self.settings.source_hosts):
            raise Reject(f"source {named}: JOBKIT_TRANSCODE_SOURCE_HOSTS does not name its host {url.host}")
        check_literal(url.host, self.settings.source_networks, setting=_SETTING)
        return url

    def _part(self, response: aiohttp.ClientResponse) -> Part:
        status = response.status
        if status >= 500 or status in _PASSING:
            raise Broken(f"the server answered {status}")
        if status not in (200, 206):
            raise Reject(f"source {shown_reference(self.reference)} cannot be had: the server answered {status}")
        tag = response.headers.get("etag")
        strong = tag if tag is not None and not tag.startswith("W/") else response.headers.get("last-modified")
        chunks = response.content.iter_any()
        if status == 200:
            return Part(0, response.content_length, strong, chunks)
        return _ranged(response, strong, chunks)


def _ranged(response: aiohttp.ClientResponse, tag: str | None, chunks: AsyncIterator[bytes]) -> Part:
    """Return a part as `Content-Range: bytes START-END/TOTAL` says. Raises `Broken` where that is not to be read."""
    unit, _, span = response.headers.get("content-range", "").partition(" ")
    start, total = span.partition("-")[0], span.rpartition("/")[2]
    if unit != "bytes" or not start.isdigit() or not total.isdigit():
        raise Broken("the server does not say which bytes it gives")
    return Part(int(start), int(total), tag, chunks)


def _refusal(error: BaseException) -> AddressRefused | None:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AddressRefused):
            return cause
        cause = cause.__cause__
    return None
