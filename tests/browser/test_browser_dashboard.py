"""The dashboard in Chromium: an operator finds with it alone why a job is late, and mends it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobkit.lab.servers.rabbitmq import RabbitServer
from jobkit.model.limit import Limit
from jobkit.model.pause import Scope
from jobkit.ports.coordinator import LeaseRef, Member
from jobkit.ports.limits import Waiting
from jobkit.ports.planes import Planes
from tests.browser.dashboard import beside, dashboard, press
from tests.browser.pages import browsing
from tests.cli.world import World

if TYPE_CHECKING:
    # Only `make test-browser` installs it.
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
_WORKER = "host:1:abc"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jobkit.plugin.loading.entry_points", lambda **_: ())
    made = World(tmp_path)

    async def begin(planes: Planes) -> None:
        await planes.coordinator.heartbeat(Member(_WORKER, ("note", "chapter")), ttl=600)

    made.ask(begin)
    return made


def paused(world: World) -> str:
    world.accepted("note", {"about": "k"}, id="late")
    world.ask(lambda planes: planes.inspection.pause(Scope("note"), by="ann", reason="a bad release"))
    return "paused. ann did that: a bad release"


def gap(world: World) -> str:
    world.buried(world.accepted("chapter", {"about": "k"}, id="first"), reason="hopeless")
    world.accepted("chapter", {"about": "k"}, id="late")
    return "number 1, the job first, was given up"


_LIMIT = Limit("smtp", 1)


def limit(world: World) -> str:
    world.accepted("note", {"about": "k"}, id="late")

    async def use_up(planes: Planes) -> None:
        await planes.coordinator.claim("note/other", owner=_WORKER, nonce="c", ttl=600, limits=[_LIMIT])
        await planes.coordinator.note_waiting(_WORKER, [Waiting(_WORKER, "smtp", 1, ("late",))], ttl=600)

    world.ask(use_up)
    return "The limit 'smtp' allows 1 at once, and 1 is in use by note/other"


def no_worker(world: World) -> str:
    world.accepted("note", {"about": "k"}, id="late")
    world.ask(lambda planes: planes.coordinator.leave(_WORKER))
    return "No worker is alive"


def resumed(page: Page, world: World) -> None:
    press(page, "Resume it…", "Resume")


def tried_again(page: Page, world: World) -> None:
    press(page, "Try job first again…", "Try again")


def room_made(page: Page, world: World) -> None:
    """The job that used the limit up ends; the page shows who that is."""
    page.get_by_role("link", name="See who uses it").click()
    page.get_by_text("1 of 1").wait_for()
    page.go_back()

    async def end(planes: Planes) -> None:
        (lease,) = await planes.coordinator.leases("note/")
        await planes.coordinator.release(LeaseRef(lease.resource, lease.token, "c"))
        await planes.coordinator.note_waiting(_WORKER, [], ttl=600)

    beside(world, end)


def worker_started(page: Page, world: World) -> None:
    async def begin(planes: Planes) -> None:
        await planes.coordinator.heartbeat(Member(_WORKER, ("note",)), ttl=600)

    beside(world, begin)


@pytest.mark.parametrize(
    ("late", "mend"),
    [(paused, resumed), (gap, tried_again), (limit, room_made), (no_worker, worker_started)],
    ids=lambda one: one.__name__,
)
def test_an_operator_finds_why_a_job_is_late_and_mends_it(
    world: World, late: Callable[[World], str], mend: Callable[[Page, World], None]
) -> None:
    why = late(world)
    with dashboard() as site, browsing(site) as page:
        page.goto("/")
        page.get_by_role("link", name="Jobs", exact=True).click()
        page.get_by_role("link", name="late", exact=True).click()
        page.get_by_text(why).wait_for()
        mend(page, world)
        if not page.url.endswith("/jobs/late"):
            page.goto("/jobs/late")
        # Where nothing was pressed the page finds out by itself.
        page.get_by_text(why).wait_for(state="detached")


def test_a_broker_that_is_away_is_told_and_when_it_is_back(world: World, tmp_path: Path) -> None:
    here = "sqlite:///jobkit.db"
    broker = RabbitServer(tmp_path)
    urls = {"JOBKIT_STORE_URL": here, "JOBKIT_COORDINATOR_URL": here, "JOBKIT_BLOBS_URL": "file:jobkit-blobs"}
    world.accepted("note", {"about": "k"}, id="late")
    away = "The broker, which hands jobs to workers, is out of reach"
    try:
        with dashboard(JOBKIT_BROKER_URL=broker.url(), **urls) as site, browsing(site) as page:
            page.goto("/")
            page.get_by_text("jobkit_broker_unreachable").wait_for()
            page.goto("/jobs/late")
            page.get_by_text(away).wait_for()
            broker.start()
            page.get_by_text(away).wait_for(state="detached")
            broker.kill()
            page.get_by_text(away).wait_for()
    finally:
        broker.end()


def test_a_worker_that_is_killed_while_one_looks_is_told_and_who_takes_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBKIT_LEASE_TTL", "3")
    world.ask(lambda planes: planes.coordinator.leave(_WORKER))
    world.accepted("note", {"about": "k", "seconds": 600}, id="long")
    with dashboard() as site, browsing(site) as page:
        page.goto("/jobs/long")
        page.get_by_text("No worker is alive").wait_for()
        with world.worker("note") as first:
            page.get_by_text("It runs").wait_for()
            first.kill()
            page.get_by_text("was killed or cut off").wait_for()
        with world.worker("note"):
            page.get_by_text("which had not ended it").wait_for()
            page.get_by_text("It runs").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_telephone_and_run_nothing_that_a_job_says(world: World, scheme: str) -> None:
    id = world.accepted("note", {"about": HOSTILE, "text": HOSTILE}, id="hostile").id
    world.buried(world.accepted("note", {"about": "other"}, id=f"dead{HOSTILE}"), reason=HOSTILE, error=HOSTILE)
    with dashboard() as site, browsing(site, viewport={"width": 360, "height": 740}, color_scheme=scheme) as page:
        for path in ("/", "/jobs", f"/jobs/{id}", "/workers", "/dead", "/dead/1", "/steering", "/checks", "/audit"):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
            # Whoever has no pointer gets past the navigation at once.
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.className") == "skip", path
            assert page.locator("h1").count() == 1, path


def test_every_page_works_without_scripts(world: World) -> None:
    world.accepted("note", {"about": "k"}, id="late")
    with dashboard() as site, browsing(site, java_script_enabled=False) as page:
        page.goto("/jobs/late")
        press(page, "Cancel it…")
        page.get_by_label("Why? Everybody who looks is told.").fill("not wanted")
        press(page, "Cancel the job")
        page.get_by_text("Job late is cancelled.").wait_for()
        page.goto("/audit")
        page.get_by_text("not wanted").wait_for()
