"""The figures of the overview: each is what it says, and what could not be asked for is no figure."""

from __future__ import annotations

import re

import pytest

from jobkit.ports.coordinator import LeaseInfo
from jobkit.web.application import WebApplication
from jobkit.web.history import EVERY_SECONDS
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
