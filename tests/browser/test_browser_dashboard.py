"""The dashboard in Chromium: an operator finds with it alone why a job is late, and mends it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobkit.model.limit import Limit
from jobkit.model.pause import Scope
from jobkit.ports.coordinator import LeaseRef, Member, Waiting
from jobkit.ports.planes import Planes
from tests.browser.chromium import CHROMIUM
from tests.cli.world import World, environment

if TYPE_CHECKING:
    # Only `make test-browser` installs it.
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
_WORKER = "host:1:abc"
# How long a busy machine may take over what a page does by itself within two seconds.
_PATIENCE_MS = 20_000


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jobkit.plugin.loading.entry_points", lambda **_: ())
    made = World(tmp_path)

    async def begin(planes: Planes) -> None:
        await planes.coordinator.heartbeat(Member(_WORKER, ("note", "chapter")), ttl=600)

    made.ask(begin)
    return made


@contextmanager
def dashboard(**variables: str) -> Iterator[str]:
    """Serve the dashboard of the current directory; yield its address."""
    command = (sys.executable, "-m", "jobkit", "web", "--port", "0")
    with subprocess.Popen(command, env=environment(**variables), stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            told = next((line for line in process.stderr if "dashboard at" in line), "")
            found = re.search(r"http://\S+:\d+", told)
            assert found, told
            yield found[0]
        finally:
            process.terminate()


@contextmanager
def browsing(site: str, **options: object) -> Iterator[Page]:
    """Lend a page on which nothing may go wrong: no script of a job's runs, and the policy has nothing to refuse."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_context(base_url=site, **options).new_page()  # type: ignore[arg-type]
        page.set_default_timeout(_PATIENCE_MS)
        wrong: list[str] = []
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        try:
            yield page
            assert wrong == []
        finally:
            chromium.close()


def press(page: Page, *labels: str) -> None:
    """Press buttons, one after another."""
    for label in labels:
        page.get_by_role("button", name=label, exact=True).first.click()


def beside(world: World, do: Callable[[Planes], Awaitable[None]]) -> None:
    """Do something to the backends while a page is open, whose driver has an event loop in this thread."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(world.ask, do).result()


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


def test_a_broker_that_is_away_is_told(world: World) -> None:
    world.accepted("note", {"about": "k"}, id="late")
    here = "sqlite:///jobkit.db"
    urls = {"JOBKIT_STORE_URL": here, "JOBKIT_COORDINATOR_URL": here, "JOBKIT_BLOBS_URL": "file:jobkit-blobs"}
    with dashboard(JOBKIT_BROKER_URL="amqp://127.0.0.1:1/", **urls) as site, browsing(site) as page:
        page.goto("/jobs/late")
        page.get_by_text("The broker, which hands jobs to workers, is out of reach").wait_for()
        page.goto("/")
        page.get_by_text("jobkit_broker_unreachable").wait_for()


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
