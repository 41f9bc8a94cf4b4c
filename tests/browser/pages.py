"""Pages in Chromium on which nothing may go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.browser.chromium import CHROMIUM

if TYPE_CHECKING:
    # Only `make test-browser` installs it.
    from playwright.sync_api import Page

# How long a busy machine may take over what a page does by itself within two seconds.
_PATIENCE_MS = 20_000
# And over a page: the doctor tries what the machine can encode, and asks every backend.
_PAGE_MS = 60_000


@contextmanager
def browsing(site: str, **options: object) -> Iterator[Page]:
    """Lend a page on which nothing may go wrong: no script of a job's runs, and the policy has nothing to refuse."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_context(base_url=site, **options).new_page()  # type: ignore[arg-type]
        page.set_default_timeout(_PATIENCE_MS)
        page.set_default_navigation_timeout(_PAGE_MS)
        wrong: list[str] = []
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        try:
            yield page
            assert wrong == []
        finally:
            chromium.close()
