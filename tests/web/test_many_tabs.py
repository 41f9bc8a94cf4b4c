"""Fifty open tabs of the whole dashboard ask the store as often as one does, and each is told of what changes."""

from __future__ import annotations

import anyio
import pytest
from starlette.types import Message

from jobkit.web.application import WebApplication
from jobkit.web.live import EVERY_SECONDS
from tests.faults.doubles import faulty_planes
from tests.steps import Step, step
from tests.virtual_site import Site, in_virtual_time, open_site

_SECONDS = 20.0
_TABS = 50


async def _tab(application: WebApplication, path: str, told: list[bytes]) -> None:
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"accept", b"text/event-stream")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "http_version": "1.1",
    }

    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError("nobody wakes it")

    async def send(message: Message) -> None:
        told.append(message.get("body", b""))

    await application(scope, receive, send)


async def _asked_by(site: Site, path: str, tabs: int) -> tuple[int, list[list[bytes]]]:
    """Return how many calls so many tabs make of the planes in a while, and what each was told."""
    planes = faulty_planes(site.planes, site.faults)
    application = WebApplication(planes, site.registry, site.settings, clock=site.clock)
    before, told = site.faults.calls.total(), [list[bytes]() for _ in range(tabs)]
    with anyio.move_on_after(_SECONDS):
        async with anyio.create_task_group() as tasks:
            for number, one in enumerate(told):
                tasks.start_soon(_tab, application, path, one)
                # People do not open them in the same moment.
                await site.clock.sleep(EVERY_SECONDS / (2 * tabs))
                if number == 0:
                    opened = site.clock.now()
            await site.clock.sleep(_SECONDS / 2 - (site.clock.now() - opened))
            await site.client.submit("step", Step())
            await anyio.sleep_forever()
    return site.faults.calls.total() - before, told


@pytest.mark.parametrize("path", ["/", "/jobs", "/workers"])
@in_virtual_time
async def test_fifty_open_tabs_cost_the_store_what_one_does(path: str) -> None:
    async with open_site(step) as site:
        alone, _ = await _asked_by(site, path, 1)
        together, told = await _asked_by(site, path, _TABS)
        assert alone >= _SECONDS / EVERY_SECONDS
        # They look at other moments, so that there may be one look more in a while.
        assert together <= 1.5 * alone
        if path != "/workers":
            assert all(sum(b"event: page" in part for part in one) >= 2 for one in told)
