"""Every change that the dashboard offers, in Chromium: it is said before, done once confirmed, and in the audit log."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from jobkit.client import Client
from jobkit.client.schedules import ScheduleBook
from jobkit.model.pause import Scope
from jobkit.ports.coordinator import Member
from jobkit.ports.planes import Planes
from jobkit.settings import Settings
from jobkit.web.actions import ACTIONS
from tests.browser.dashboard import dashboard
from tests.browser.pages import browsing
from tests.cli.world import World

pytestmark = pytest.mark.browser

# In this order, each finds what it changes; the words are those of the page that comes after it.
_CHANGES = (
    ("hand-over", "type=note&partition=0", "note/0 is handed over to w:2:b."),
    ("drain", "owner=w:1:a", "w:1:a is asked to drain and end."),
    ("pause", "type=chapter", "Paused: chapter."),
    ("resume", "type=errand", "errand goes on."),
    ("pause-schedule", "name=daily", "Paused: daily."),
    ("resume-schedule", "name=daily", "daily goes on."),
    ("trigger-schedule", "name=daily", "is submitted."),
    ("priority", "id=errand-1", "Job errand-1 has the priority high now."),
    ("priority-all", "type=errand", "1 job got the priority high."),
    ("republish", "id=sent", "The message of job sent is sent again."),
    ("cancel", "id=sent", "Job sent is cancelled."),
    ("cancel-all", "type=errand", "2 jobs cancelled."),
    ("resume-gap", "type=chapter&key=ulysses", "tried again."),
    ("skip-gap", "type=chapter&key=emma", "goes on with number 2"),
    ("requeue-edited", "number=1", "is submitted in its place."),
    ("requeue", "number=1", "Job dead-0 is tried again."),
    ("requeue-job", "id=dead-1", "Job dead-1 is tried again."),
    ("purge", "number=3", "Deleted for good."),
    ("requeue-matching", "type=note&state=dead&key=d3", "1 job tried again."),
    ("requeue-all", "type=note", "1 job tried again."),
)


def _filled(directory: Path) -> None:
    world = World(directory)
    for number in range(5):
        job = world.accepted("note", {"about": f"d{number}"}, id=f"dead-{number}")
        world.buried(job, reason="hopeless", error="no room")
    for key in ("ulysses", "emma"):
        world.buried(world.accepted("chapter", {"about": key}, id=f"{key}-1"), reason="hopeless")
        world.parked(world.accepted("chapter", {"about": key}, id=f"{key}-2"))

    async def fill(planes: Planes) -> None:
        for owner in ("w:1:a", "w:2:b"):
            await planes.coordinator.heartbeat(Member(owner, ("note",)), ttl=900)
        await planes.coordinator.claim("leader/note/0", owner="w:1:a", nonce="l", ttl=900)
        await planes.inspection.pause(Scope("errand"), by="ann", reason="")
        client = Client(planes, world.registry, Settings())
        for id in ("errand-1", "errand-2"):
            await client.submit("errand", {"about": id}, id=id)
        await client.submit("note", {"about": "s"}, id="sent")
        book = ScheduleBook(planes.inspection, world.registry)
        await book.add("daily", "note", {"about": "day"}, every=timedelta(days=1))

    world.ask(fill)


def test_every_change_is_said_before_and_done_once_confirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jobkit.plugin.loading.entry_points", lambda **_: ())
    assert {name for name, *_ in _CHANGES} == set(ACTIONS)
    _filled(tmp_path)
    with dashboard() as site, browsing(site) as page:
        for name, target, said in _CHANGES:
            page.goto(f"/do/{name}?{target}")
            page.locator("form.confirm button").click()
            page.locator(".said", has_text=said).wait_for()
        page.goto("/audit")
        done = page.locator("#actions tbody tr td:nth-child(3)").all_inner_texts()
        assert done == [name for name, *_ in reversed(_CHANGES)]
