"""A dashboard over backends in memory, and somebody who reads it, without a browser and without a socket."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.types import ASGIApp

from jobkit import Context, Payload, processor
from jobkit.backends.registry import memory_planes
from jobkit.client import Client
from jobkit.model.fence import Fence
from jobkit.plugin.registry import Registry
from jobkit.ports.planes import Planes
from jobkit.ports.store import Committed, Effects, Failure, Opened
from jobkit.settings import Settings
from jobkit.web.application import WebApplication


class Note(Payload):
    """Something to say about a subject."""

    about: str
    text: str = ""


@processor("note", key=lambda job: job.about)
async def note(job: Note, ctx: Context) -> None:
    """Only names the type."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def words(self) -> str:
        """The text as a reader sees it, on one line."""
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", self.text)).split())


@dataclass
class Reader:
    """A browser, as far as a server can tell: it has an address, keeps cookies, and follows the rules of origins."""

    application: ASGIApp
    root: str = ""
    mounted: str = ""
    peer: str = "127.0.0.1"
    host: str = "localhost:8090"
    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, **headers: str) -> Answer:
        return await self._ask("GET", path, b"", headers)

    async def post(self, path: str, form: Mapping[str, str], **headers: str) -> Answer:
        headers = {"sec-fetch-site": "same-origin", "origin": f"http://{self.host}", **headers}
        headers["content-type"] = "application/x-www-form-urlencoded"
        return await self._ask("POST", path, urlencode(form).encode(), headers)

    async def confirmed(self, action: str, said: Mapping[str, str] | None = None, **target: str) -> Answer:
        """Ask for a change, fill the form in, and send it; return what the change answered."""
        page = await self.get(f"/do/{action}?{urlencode(target)}")
        assert page.status == 200, page.words
        return await self.post(f"/do/{action}", {**fields_of(page), **(said or {})})

    async def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        split = urlsplit(path)
        sent = {"host": self.host, **self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        scope = {
            "type": "http",
            "method": method,
            "scheme": "http",
            "path": self.root + re.sub("%([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), split.path),
            "raw_path": (self.root + split.path).encode(),
            "root_path": self.root,
            "query_string": split.query.encode(),
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in sent.items()],
            "client": (self.peer, 50_000),
            "server": ("127.0.0.1", 8090),
            "http_version": "1.1",
        }
        came: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]
        told: dict[str, Any] = {}
        parts: list[bytes] = []

        async def receive() -> Any:
            return came.pop(0) if came else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                told.update(message)
            else:
                parts.append(message.get("body", b""))

        await self.application(scope, receive, send)
        pairs = [(name.decode(), value.decode("latin-1")) for name, value in told["headers"]]
        for name, value in pairs:
            if name == "set-cookie":
                kept, _, rest = value.partition(";")
                assert f"Path={self.root or self.mounted or '/'};" in f"{rest};", value
                cookie, _, content = kept.partition("=")
                self.cookies.pop(cookie, None)
                if "Max-Age=0" not in rest:
                    self.cookies[cookie] = content.strip('"')
        return Answer(told["status"], dict(pairs), b"".join(parts))


def fields_of(page: Answer) -> dict[str, str]:
    """Return the fields of the form on a page that asks for confirmation."""
    form = page.text[page.text.index('<form class="confirm"') :]
    found = {}
    for tag in re.findall(r"<input[^>]*>", form):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name:
            found[unescape(name[1])] = unescape(value[1]) if value else ""
    for name, value in re.findall(r'<textarea name="([^"]*)"[^>]*>\n?(.*?)</textarea>', form, re.DOTALL):
        found[name] = unescape(value)
    return found


@dataclass
class Site:
    """The dashboard, what is below it, and what a worker would do there."""

    planes: Planes
    client: Client
    settings: Settings
    registry: Registry

    def reader(self, *types: Any, **settings: Any) -> Reader:
        """Return a reader of a dashboard with these settings, and with these job types where they are named."""
        changed = Settings(**{**self.settings.model_dump(exclude_unset=True), **settings})
        registry = Registry(types) if types else self.registry
        return Reader(WebApplication(self.planes, registry, changed))

    async def submitted(self, about: str = "k", text: str = "", *, id: str | None = None) -> str:
        return (await self.client.submit("note", Note(about=about, text=text), id=id)).id

    async def opened(self, id: str, token: int = 7, owner: str = "host:1:abc") -> Fence:
        envelope = await self.planes.inspection.envelope(id)
        assert envelope is not None
        fence = Fence(token, f"n{token}", owner)
        assert isinstance(await self.planes.store.open(envelope, fence), Opened)
        return fence

    async def committed(self, id: str, result: bytes = b"null") -> None:
        envelope, fence = await self.planes.inspection.envelope(id), await self.opened(id)
        assert envelope is not None
        assert isinstance(await self.planes.store.commit(envelope, fence, Effects(result=result)), Committed)

    async def buried(self, id: str, error: str = "it broke", traceback: str = "Traceback ...") -> int:
        """Have a job fail and be given up; return its dead letter's number."""
        envelope, fence = await self.planes.inspection.envelope(id), await self.opened(id)
        assert envelope is not None
        failure = Failure(1, error, traceback, fence.owner, fence.token, 1_700_000_000.0)
        await self.planes.store.fail(envelope, fence, failure)
        await self.planes.store.bury(envelope, fence, reason="too many attempts", detail=traceback)
        return (await self.planes.inspection.dead(limit=1000))[-1].number


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """Lend a site."""
    settings = Settings(store_url="memory:", broker_url="memory:", coordinator_url="memory:")  # type: ignore[arg-type]
    async with memory_planes() as planes:
        await planes.broker.declare("note", settings.partitions)
        yield site_over(planes, settings)


def site_over(planes: Planes, settings: Settings) -> Site:
    """Return a site on these backends."""
    registry = Registry([note])
    return Site(planes, Client(planes, registry, settings), settings, registry)
