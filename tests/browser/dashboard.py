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
from tests.cli.world import World, environment

if TYPE_CHECKING:
    # Only `make test-browser` installs it.
    from playwright.sync_api import Page


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


def press(page: Page, *labels: str) -> None:
    """Press buttons, one after another."""
    for label in labels:
        page.get_by_role("button", name=label, exact=True).first.click()


def beside(world: World, do: Callable[[Planes], Awaitable[None]]) -> None:
    """Do something to the backends while a page is open, whose driver has an event loop in this thread."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(world.ask, do).result()
