"""The figures of the overview: each is what it says, and what could not be asked for is no figure."""

from __future__ import annotations

import re

import pytest

from jobkit.errors import Unavailable
from jobkit.model.plane import Plane
from jobkit.ports.coordinator import LeaseInfo
from jobkit.web.application import WebApplication
from jobkit.web.history import EVERY_SECONDS
from jobkit.web.rendering import NOTHING
from tests.web.site import Answer, Reader, Site
from tests.web.test_live import Clock


def figure(page: Answer, label: str) -> str:
    """Return what a chart says in words."""
    found = re.search(rf'{label}</span> <span class="figure">([^<]*)<', page.text)
    assert found is not None, page.words
    return found[1]


async def test_new_leaders_are_counted_for_each_minute(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, token = Clock(), 1
    reader = Reader(WebApplication(site.planes, site.registry, site.settings, clock=clock))

    async def leases() -> list[LeaseInfo]:
        return [LeaseInfo("leader/note/0", "host:1:abc", token, 10.0)]

    monkeypatch.setattr(site.planes.coordinator, "leases", leases)
    await reader.get("/")
    clock.time += EVERY_SECONDS
    token = 2
    assert figure(await reader.get("/"), "New leaders per minute") == "6.0"


async def test_while_the_broker_is_away_nobody_says_that_nothing_waits(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    reader = Reader(WebApplication(site.planes, site.registry, site.settings, clock=clock))
    await site.submitted()
    await site.client.pause("note", reason="a bad release")
    # A time at which it has waited for long, whatever today is.
    clock.time += 100.0 * 365 * 86_400
    seen = figure(await reader.get("/"), "Oldest has waited")

    async def depths() -> None:
        raise Unavailable(Plane.BROKER, "no route")

    with monkeypatch.context() as patch:
        patch.setattr(site.planes.broker, "depths", depths)
        clock.time += EVERY_SECONDS
        page = await reader.get("/")
    assert "out of reach" in page.words
    assert figure(page, "Waiting") == "1"
    assert figure(page, "Oldest has waited") == NOTHING
    assert re.search(rf"note paused {NOTHING} {NOTHING} {NOTHING} 0 0 {NOTHING}", page.words), page.words
    clock.time += EVERY_SECONDS
    assert figure(await reader.get("/"), "Oldest has waited") == seen
    assert seen.endswith("d")


async def test_while_the_coordinator_is_away_nobody_says_that_nobody_works(
    site: Site, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> None:
        raise Unavailable(Plane.COORDINATOR, "no route")

    monkeypatch.setattr(site.planes.coordinator, "leases", away)
    monkeypatch.setattr(site.planes.coordinator, "members", away)
    page = await reader.get("/")
    assert re.search(rf"note 0 {NOTHING} 0 {NOTHING} {NOTHING} {NOTHING}", page.words), page.words
    assert "alive" not in page.words
