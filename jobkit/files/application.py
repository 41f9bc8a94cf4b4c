"""Committed files over HTTP, as an ASGI application to be mounted into another one, or served by itself.

`/TYPE/KEY/NAME` is always the committed version of a file: with its media type, ranges, an entity tag, and the links
that `FileLinks` signs. Playlists are answered by a redirect to a pinned version, so that what plays goes on to its end
while the file is made anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, unquote

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from jobkit.errors import FileMissing, FileReplaced, Unavailable, UnknownType
from jobkit.files.byte_range import Unsatisfiable, byte_range
from jobkit.files.file_set import FileSet, joined, opened
from jobkit.files.media_types import media_type
from jobkit.files.signed_links import NEVER, FileLinks, Pin, file_path
from jobkit.model.blob_location import location_beside
from jobkit.ports.blobs import Blobs

# What names other files by paths relative to its own.
_NAMES_OTHERS = (".m3u8", ".mpd")
_METHODS = ("GET", "HEAD")
_SAFE = {
    # What jobs write is data: a page among it must not act as one of the site's.
    "content-security-policy": "sandbox; default-src 'none'; img-src 'self'; media-src 'self'",
    "x-content-type-options": "nosniff",
}
_RETRY_AFTER_SECONDS = 5

Access = Callable[[Request, str, str, str], Awaitable[bool]]
"""Called with a request, and the type, key and name of the file asked for; returns whether it may be read."""


class Source(Protocol):
    """Whose files they are: a client, say."""

    @property
    def blobs(self) -> Blobs: ...

    async def files(self, type: str, key: str) -> FileSet: ...


async def everyone(request: Request, type: str, key: str, name: str) -> bool:  # noqa: ARG001  (an `Access`)
    """Let anybody read every committed file."""
    return True


async def _nobody(request: Request, type: str, key: str, name: str) -> bool:  # noqa: ARG001  (an `Access`)
    return False


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a path asks for. `pin`: the text of one, where it names a version."""

    type: str
    key: str
    name: str
    pin: str | None


@dataclass(frozen=True, slots=True)
class _Found:
    """The object to send, its size in bytes, and the tag that tells it apart."""

    location: str
    size: int
    tag: str
    cache: str


class FilesApplication:
    """Gives out the committed files of `source`, or of what `source` returns when it is called, at each request.

    Without `access` only signed links are let through; `access=everyone` lets everybody read everything. `links` needs
    a secret where several servers give out the same files. `origins` are the sites whose pages may read them (CORS).
    """

    def __init__(
        self,
        source: Source | Callable[[], Source],
        *,
        access: Access | None = None,
        links: FileLinks | None = None,
        origins: Sequence[str] = (),
    ) -> None:
        self._source = source
        self._access = access or _nobody
        self._links = links or FileLinks()
        self._application: ASGIApp = self._serve
        if origins:
            self._application = CORSMiddleware(
                self._serve,
                allow_origins=origins,
                allow_methods=_METHODS,
                allow_headers=("range", "if-range", "authorization"),
                expose_headers=("accept-ranges", "content-length", "content-range", "etag"),
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._application(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # Nothing is opened here that would have to be closed: whose application it is owns the client.
            raise RuntimeError("this application answers HTTP alone; its client is opened by the one it is mounted in")
        request = Request(scope, receive)
        async with AsyncExitStack() as reading:
            response = await self._response(request, reading)
            await response(scope, receive, send)

    async def _response(self, request: Request, reading: AsyncExitStack) -> Response:
        if request.method not in _METHODS:
            return _refused(405, "only GET and HEAD", allow=", ".join(_METHODS))
        asked = _asked(request)
        if asked is None:
            return _refused(404, "the path of a file is /TYPE/KEY/NAME")
        try:
            try:
                return await self._answer(request, asked, reading)
            except FileReplaced:
                # Replaced and swept away between the look and the read: there is another version now.
                return await self._answer(request, asked, reading)
        except (FileMissing, FileReplaced, FileNotFoundError, UnknownType, ValueError):
            return _refused(404, "there is no such file")
        except Unavailable:
            return _refused(503, "the files cannot be reached now", **{"retry-after": str(_RETRY_AFTER_SECONDS)})

    async def _answer(self, request: Request, asked: _Asked, reading: AsyncExitStack) -> Response:
        source = self._source if not callable(self._source) else self._source()
        pin = None if asked.pin is None else self._links.pin_of(asked.type, asked.key, asked.pin)
        until = self._granted_until(request, asked, pin)
        if until == NEVER and not await self._access(request, asked.type, asked.key, asked.name):
            return _refused(403, "not allowed: the link has ended, or was never one")
        files = await source.files(asked.type, asked.key)
        if asked.pin is None:
            file = files.named(asked.name)
            if asked.name.endswith(_NAMES_OTHERS):
                return self._pinned(request, asked, file.location, until)
            found = _Found(file.location, file.size, f'"{file.sha256}"', "no-cache")
        elif pin is None:
            return _redirect(_base(request), asked)
        else:
            location = location_beside(files.type, files.key, pin.attempt, asked.name)
            try:
                size = await source.blobs.size(location)
            except FileNotFoundError:
                if any(file.location == location for file in files):
                    # What there is now is this very version: a redirect would lead back here.
                    raise
                # Replaced, and swept away since: on to what there is now.
                query = "" if until == NEVER else f"?{self._links.query(asked.type, asked.key, until)}"
                return _redirect(_base(request), asked, query)
            tag = hashlib.sha256(location.encode()).hexdigest()
            found = _Found(location, size, f'"{tag}"', "private, max-age=3600, immutable")
        return await _sent(request, asked, found, source.blobs, reading)

    def _granted_until(self, request: Request, asked: _Asked, pin: Pin | None) -> int:
        """Return until when a signature lets this request read; `NEVER` where there is none."""
        if pin is not None:
            return pin.until
        said = request.query_params
        if "signature" not in said:
            return NEVER
        return self._links.allows(asked.type, asked.key, said.get("expires", ""), said["signature"]) or NEVER

    def _pinned(self, request: Request, asked: _Asked, location: str, until: int) -> Response:
        pin = self._links.pinned(asked.type, asked.key, Pin(location.split("/")[2], until))
        return _redirect(f"{_base(request)}/@{pin}", asked)


def _asked(request: Request) -> _Asked | None:
    """Return what the path below the application asks for. A key may have "/" in it, written %2F."""
    parts = _below(request)
    pin = parts.pop(0)[1:] if parts and parts[0].startswith("@") else None
    if len(parts) < 3 or not all(parts):
        return None
    try:
        type, key, *names = (unquote(part, errors="strict") for part in parts)
    except UnicodeDecodeError:
        return None
    return _Asked(type, key, "/".join(names), None if pin is None else unquote(pin))


def _raw_path(request: Request) -> str:
    raw = request.scope.get("raw_path")
    return raw.decode("ascii", "replace") if raw else quote(request.scope["path"])


def _mounted_at(request: Request) -> list[str]:
    """Return the parts of the path that the application is mounted under."""
    return [part for part in request.scope.get("root_path", "").split("/") if part]


def _below(request: Request) -> list[str]:
    parts = _raw_path(request).removeprefix("/").split("/")
    root = _mounted_at(request)
    # Some servers leave the mount's path out of what they pass on.
    return parts[len(root) :] if [unquote(part) for part in parts[: len(root)]] == root else parts


def _base(request: Request) -> str:
    return "".join(f"/{quote(part)}" for part in _mounted_at(request))


def _redirect(base: str, asked: _Asked, query: str = "") -> Response:
    path = file_path(asked.type, asked.key, asked.name)
    return Response(status_code=307, headers={"location": f"{base}{path}{query}", "cache-control": "no-store"})


async def _sent(request: Request, asked: _Asked, found: _Found, blobs: Blobs, reading: AsyncExitStack) -> Response:
    headers = {
        **_SAFE,
        "accept-ranges": "bytes",
        "cache-control": found.cache,
        "content-type": media_type(asked.name),
        "etag": found.tag,
    }
    if _is_tagged(request.headers.get("if-none-match", ""), found.tag):
        del headers["content-type"]
        return Response(status_code=304, headers=headers)
    try:
        part = _range_of(request, found)
    except Unsatisfiable:
        return _refused(416, "there are no such bytes", **{"content-range": f"bytes */{found.size}"})
    start, stop = part or (0, found.size)
    headers["content-length"] = str(stop - start)
    if part is not None:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{found.size}"
    status = 200 if part is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    chunks = opened(blobs, found.location, start, stop)
    reading.push_async_callback(chunks.aclose)
    # Before the headers go out, so that bytes which are gone are no broken answer.
    first = await anext(chunks, b"")
    return StreamingResponse(joined(first, chunks), status, headers)


def _range_of(request: Request, found: _Found) -> tuple[int, int] | None:
    """Return the part that is asked for, None for all. Raises `Unsatisfiable`."""
    header = request.headers.get("range")
    if header is None or request.headers.get("if-range", found.tag) != found.tag:
        return None
    return byte_range(header, found.size)


def _is_tagged(header: str, tag: str) -> bool:
    return header.strip() == "*" or tag in [one.strip().removeprefix("W/") for one in header.split(",")]


def _refused(status: int, why: str, **headers: str) -> Response:
    return PlainTextResponse(f"{why}\n", status, {**_SAFE, "cache-control": "no-store", **headers})
