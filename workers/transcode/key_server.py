"""A server that keeps keys, asked by HTTPS: one request for each attempt, with an answer that nothing here repeats.

`POST` of `{"video_id", "key_id", "encryption"}`; the answer is `{"key": 32 hexadecimal digits, "uri": "..."}`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
from pydantic import SecretStr

from jobkit import Reject
from workers.transcode.content_key import ContentKey, KeyRequest
from workers.transcode.errors import KeyUnavailable

_SECONDS = 30.0
_MOST_BYTES = 16 * 1024
# Answers that another time may not give.
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


@dataclass(frozen=True, slots=True)
class KeyServer:
    """A key server at `url`, which is shown `token` where there is one."""

    url: str
    token: SecretStr | None

    async def __call__(self, request: KeyRequest) -> ContentKey:
        """Ask for a key. Raises `Reject` where the server refuses or makes no sense, `KeyUnavailable` otherwise."""
        body = {"video_id": request.video_id, "key_id": request.key_id, "encryption": request.encryption}
        headers = {} if self.token is None else {"authorization": f"Bearer {self.token.get_secret_value()}"}
        try:
            async with (
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=_SECONDS), cookie_jar=aiohttp.DummyCookieJar()
                ) as session,
                session.post(self.url, json=body, headers=headers, allow_redirects=False) as response,
            ):
                _require_success(response.status)
                return _content_key(await _read(response))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise KeyUnavailable(f"the key server cannot be asked: {error or type(error).__name__}") from error


def _require_success(status: int) -> None:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING:
        raise KeyUnavailable(f"the key server answered {status}")
    if status != HTTPStatus.OK:
        raise Reject(f"the key server gives no key for this video: it answered {status}")


async def _read(response: aiohttp.ClientResponse) -> bytes:
    content = b""
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > _MOST_BYTES:
            raise Reject(f"the key server's answer has more than {_MOST_BYTES} bytes")
    return content


def _content_key(content: bytes) -> ContentKey:
    # None of these errors quotes what was said.
    try:
        said = json.loads(content)
        return ContentKey(bytes.fromhex(said["key"]), said["uri"])
    except (ValueError, KeyError, TypeError) as error:
        raise Reject(
            'the key server\'s answer is not as it should be, {"key": 32 hexadecimal digits, "uri": "..."}: '
            f"{type(error).__name__}"
        ) from error
