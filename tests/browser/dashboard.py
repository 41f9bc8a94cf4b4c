"""The dashboard as a process of its own, and Chromium that looks at it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobkit.ports.planes import Planes
from tests.browser.chromium import CHROMIUM
from tests.cli.world import World, environment

if TYPE_CHECKING:
    # Only `make test-browser` installs it.
    from playwright.sync_api import Page

# How long a busy machine may take over what a page does by itself within two seconds.
_PATIENCE_MS = 20_000


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
