"""One POST, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp

from jobkit import Reject, Retry
from workers.webhook.addresses import AddressRefused
from workers.webhook.resolver import CheckedResolver
from workers.webhook.settings import WebhookSettings

# Of an answer no more is read, and of that so much is told.
MOST_BYTES = 16 * 1024
EXCERPT_CHARACTERS = 200


async def posted(
    url: str, body: bytes, headers: Mapping[str, str], settings: WebhookSettings
) -> tuple[int, Mapping[str, str], str]:
    """Post once, to an address that was checked; return the status, the headers and the beginning of the answer.

    Raises `Reject` where that can never work, and `Retry` where the receiver could not be reached.
    """
    try:
        return await _answer(url, body, headers, settings)
    except aiohttp.InvalidURL as error:
        raise Reject(f"the address is none: {error}") from error
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise _unreached(error, settings) from error


async def _answer(
    url: str, body: bytes, headers: Mapping[str, str], settings: WebhookSettings
) -> tuple[int, Mapping[str, str], str]:
    connector = aiohttp.TCPConnector(
        resolver=CheckedResolver(settings.allow_networks), use_dns_cache=False, force_close=True
    )
    async with (
        aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=settings.timeout),
            auto_decompress=False,
        ) as session,
        session.post(url, data=body, headers=headers, allow_redirects=False) as response,
    ):
        begun = b""
        while len(begun) < MOST_BYTES and (chunk := await response.content.read(MOST_BYTES - len(begun))):
            begun += chunk
        text = " ".join(begun[: 4 * EXCERPT_CHARACTERS].decode(errors="replace").split())
        return response.status, response.headers, text[:EXCERPT_CHARACTERS]


def _unreached(error: BaseException, settings: WebhookSettings) -> Reject | Retry:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AddressRefused):
            return Reject(str(cause))
        cause = cause.__cause__
    if isinstance(error, asyncio.TimeoutError):
        return Retry(f"no answer within {settings.timeout:g} s")
    return Retry(f"the receiver could not be reached: {error}")
