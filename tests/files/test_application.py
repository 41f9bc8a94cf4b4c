"""The application as a browser sees it: over real HTTP, asked by a client that did not make it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import cast

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount
from yarl import URL

from jobkit.files import Access, FileLinks, FilesApplication, everyone
from jobkit.ports.blobs import Blobs
from jobkit.worker.asgi_server import serving
from tests.files.site import FileSite, file_site

HOUR = timedelta(hours=1)
DATA = bytes(range(256)) * 8_000


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Web:
    """The application, mounted at `/media/files` of another one."""

    site: FileSite
    links: FileLinks
    origin: str
    session: aiohttp.ClientSession

    async def ask(self, path: str, method: str = "GET", *, root: str = "/media/files", **headers: str) -> Answer:
        """Ask for a path as it stands, following no redirect."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = URL(f"{self.origin}{root}{path}", encoded=True)
        async with self.session.request(method, url, headers=named, allow_redirects=False) as answer:
            found = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, found, await answer.read())


@asynccontextmanager
async def web(tmp_path: Path, access: Access | None = everyone, **options: object) -> AsyncIterator[Web]:
    links = FileLinks("a secret of tests")
    async with file_site(tmp_path) as site:
        files = FilesApplication(lambda: site.client, access=access, links=links, **options)  # type: ignore[arg-type]
        application = Starlette(routes=[Mount("/media", routes=[Mount("/files", app=files)])])
        async with (
            serving(application, "127.0.0.1", 0, named="port") as port,
            aiohttp.ClientSession(auto_decompress=False) as session,
        ):
            yield Web(site, links, f"http://127.0.0.1:{port}", session)


async def test_a_file_is_given_out_with_its_type_size_and_tag(tmp_path: Path) -> None:
    async with web(tmp_path) as files:
        await files.site.commit({"film é.mp4": DATA}, key="a/b")
        answer = await files.ask("/film/a%2Fb/film%20%C3%A9.mp4")
        assert (answer.status, answer.body) == (200, DATA)
        assert answer.headers["content-type"] == "video/mp4"
        assert answer.headers["content-length"] == str(len(DATA))
        assert answer.headers["accept-ranges"] == "bytes"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("sandbox")
        head = await files.ask("/film/a%2Fb/film%20%C3%A9.mp4", "HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == str(len(DATA))


async def test_ranges_and_tags_do_what_players_and_caches_count_on(tmp_path: Path) -> None:
    async with web(tmp_path) as files:
        await files.site.commit({"a.mp4": DATA})
        path = "/film/k/a.mp4"
        tag = (await files.ask(path)).headers["etag"]
        part = await files.ask(path, range="bytes=1000000-1000009")
        assert (part.status, part.body) == (206, DATA[1_000_000:1_000_010])
        assert part.headers["content-range"] == f"bytes 1000000-1000009/{len(DATA)}"
        assert part.headers["content-length"] == "10"
        assert (await files.ask(path, range="bytes=-3")).body == DATA[-3:]
        assert (await files.ask(path, range="bytes=0-1,5-6")).body == DATA
        beyond = await files.ask(path, range=f"bytes={len(DATA)}-")
        assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(DATA)}")
        assert (await files.ask(path, range="bytes=0-1", if_range=tag)).status == 206
        assert (await files.ask(path, range="bytes=0-1", if_range='"other"')).status == 200
        unchanged = await files.ask(path, if_none_match=f'"x", W/{tag}')
        assert (unchanged.status, unchanged.body) == (304, b"")
        await files.site.commit({"a.mp4": b"new"})
        changed = await files.ask(path, if_none_match=tag)
        assert (changed.status, changed.body) == (200, b"new")


class _ReplacedAsItIsRead:
    """A client whose file is replaced, and swept away, between the look at what there is and its first byte."""

    def __init__(self, site: FileSite) -> None:
        self._site = site
        self.blobs = cast(Blobs, self)
        self.files = site.client.files
        self.left = 1

    async def read(self, location: str, *, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        if self.left:
            self.left -= 1
            await self._site.commit({"a.mp4": DATA[::-1]})
            await self._site.sweep()
        async for chunk in self._site.client.blobs.read(location, start=start, stop=stop):
            yield chunk


@pytest.mark.parametrize(("asked", "status"), [({}, 200), ({"range": "bytes=10-19"}, 206)])
async def test_a_file_that_is_replaced_as_it_is_read_is_the_new_one_whole(
    tmp_path: Path, asked: dict[str, str], status: int
) -> None:
    async with web(tmp_path) as files:
        await files.site.commit({"a.mp4": DATA})
        source = _ReplacedAsItIsRead(files.site)
        application = FilesApplication(source, access=everyone)
        async with serving(application, "127.0.0.1", 0, named="port") as port:
            files.origin = f"http://127.0.0.1:{port}"
            answer = await files.ask("/film/k/a.mp4", root="", **asked)
        assert answer.status == status
        assert answer.body == (DATA[::-1] if status == 200 else DATA[::-1][10:20])
        assert answer.headers["etag"] == f'"{hashlib.sha256(DATA[::-1]).hexdigest()}"'


async def test_what_is_not_there_or_not_asked_rightly_is_refused(tmp_path: Path) -> None:
    async with web(tmp_path) as files:
        await files.site.commit({"a": b"x", "empty": b""})
        for path in (
            "/film/k/b",
            "/film/other/a",
            "/other/k/a",
            "/film/k",
            "/film/k/",
            "/film//a",
            "/",
            "/film/k/../k/a",
            "/film/k/%2E%2E/a",
            "/film/%FF/a",
            "/film/k/a%00",
            "/@/film/k/a",
        ):
            answer = await files.ask(path)
            assert answer.status in (404, 307), path
            if answer.status == 307:
                assert answer.headers["location"] == "/media/files/film/k/a"
        refused = await files.ask("/film/k/a", "DELETE")
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
        empty = await files.ask("/film/k/empty")
        assert (empty.status, empty.body, empty.headers["content-length"]) == (200, b"", "0")


def _followed(answer: Answer) -> str:
    assert answer.status == 307
    return answer.headers["location"]


async def test_who_plays_goes_on_with_the_version_he_began_with(tmp_path: Path) -> None:
    async with web(tmp_path) as files:
        await files.site.commit({"hls/master.m3u8": b"old list", "hls/0.m4s": b"old segment"})
        pinned = _followed(await files.ask("/film/k/hls/master.m3u8"))
        assert (await files.ask(pinned, root="")).body == b"old list"
        segment = pinned.replace("master.m3u8", "0.m4s")
        await files.site.commit({"hls/master.m3u8": b"new list", "hls/0.m4s": b"new segment, longer"})
        old = await files.ask(segment, root="")
        assert (old.status, old.body) == (200, b"old segment")
        assert (await files.ask(segment, root="", range="bytes=4-6")).body == b"seg"
        assert (await files.ask("/film/k/hls/0.m4s")).body == b"new segment, longer"
        newer = _followed(await files.ask("/film/k/hls/master.m3u8"))
        assert (await files.ask(newer, root="")).body == b"new list"
        assert (await files.ask(segment, root="")).headers["etag"] != (
            await files.ask(newer.replace("master.m3u8", "0.m4s"), root="")
        ).headers["etag"]
        # Swept away, it leads on to what there is.
        await files.site.sweep()
        assert _followed(await files.ask(segment, root="")) == "/media/files/film/k/hls/0.m4s"


async def test_a_version_whose_bytes_were_lost_is_not_there_and_no_circle_of_redirects(tmp_path: Path) -> None:
    async with web(tmp_path) as files:
        await files.site.commit({"hls/master.m3u8": b"list"})
        (lost,) = await files.site.client.files("film", "k")
        (tmp_path / "blobs" / lost.location).unlink()
        pinned = _followed(await files.ask("/film/k/hls/master.m3u8"))
        assert (await files.ask(pinned, root="")).status == 404


async def test_a_pin_leads_nowhere_but_to_its_own_key(tmp_path: Path) -> None:
    async with web(tmp_path) as files:
        await files.site.commit({"a.m3u8": b"mine"})
        await files.site.commit({"a.m3u8": b"another's"}, key="l")
        pinned = _followed(await files.ask("/film/k/a.m3u8"))
        for forged in (pinned.replace("/film/k/", "/film/l/"), pinned.replace("/@1-", "/@2-")):
            answer = await files.ask(forged, root="")
            assert answer.status == 307
            assert "@" not in answer.headers["location"]


async def test_without_leave_only_links_that_have_not_ended_open_a_file(tmp_path: Path) -> None:
    async with web(tmp_path, access=None) as files:
        await files.site.commit({"a.mp4": b"film", "hls/a.m3u8": b"list", "hls/0.m4s": b"segment"})
        await files.site.commit({"a.mp4": b"another's"}, key="l")
        # Nor does anybody hear what there is.
        assert {(await files.ask(path)).status for path in ("/film/k/a.mp4", "/film/k/nope", "/x/y/z")} == {403}
        link = files.links.path("film", "k", "a.mp4", expires_in=HOUR)
        assert (await files.ask(link)).body == b"film"
        assert (await files.ask(link.replace("/k/", "/l/"))).status == 403
        assert (await files.ask(link.replace("expires=1", "expires=2"))).status == 403
        # What a playlist names is opened with it.
        pinned = _followed(await files.ask(files.links.path("film", "k", "hls/a.m3u8", expires_in=HOUR)))
        assert (await files.ask(pinned.replace("a.m3u8", "0.m4s"), root="")).body == b"segment"
        await files.site.commit({"hls/0.m4s": b"newer"})
        await files.site.sweep()
        onward = _followed(await files.ask(pinned.replace("a.m3u8", "0.m4s"), root=""))
        assert (await files.ask(onward, root="")).body == b"newer"


async def test_the_application_it_is_mounted_in_decides_who_may_read(tmp_path: Path) -> None:
    asked = []

    async def own(request: Request, type: str, key: str, name: str) -> bool:
        asked.append((type, key, name))
        return request.headers.get("authorization") == f"Bearer {key}"

    async with web(tmp_path, access=own) as files:
        await files.site.commit({"a.m3u8": b"list"})
        assert (await files.ask("/film/k/a.m3u8")).status == 403
        pinned = _followed(await files.ask("/film/k/a.m3u8", authorization="Bearer k"))
        # A pin is no leave: who is asked is asked again.
        assert (await files.ask(pinned, root="")).status == 403
        assert (await files.ask(pinned, root="", authorization="Bearer k")).body == b"list"
        assert set(asked) == {("film", "k", "a.m3u8")}


async def test_pages_of_named_sites_may_read_them(tmp_path: Path) -> None:
    async with web(tmp_path, origins=["https://player.example"]) as files:
        await files.site.commit({"a.mp4": b"film"})
        answer = await files.ask("/film/k/a.mp4", origin="https://player.example")
        assert answer.headers["access-control-allow-origin"] == "https://player.example"
        assert "content-range" in answer.headers["access-control-expose-headers"]
        before = await files.ask(
            "/film/k/a.mp4",
            "OPTIONS",
            origin="https://player.example",
            access_control_request_method="GET",
            access_control_request_headers="range",
        )
        assert before.status == 200
        other = await files.ask("/film/k/a.mp4", origin="https://other.example")
        assert "access-control-allow-origin" not in other.headers


async def test_a_store_that_is_away_is_a_reason_to_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jobkit.errors import Unavailable
    from jobkit.model.plane import Plane

    async with web(tmp_path) as files:

        async def away(type: str, key: str) -> None:
            raise Unavailable(Plane.STORE, "gone fishing at postgres://user:secret@host")

        monkeypatch.setattr(files.site.client, "files", away)
        answer = await files.ask("/film/k/a.mp4")
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert b"secret" not in answer.body
