"""Takes pictures of every page for people to look at: `python -m tests.browser.pictures FOLDER`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.browser.busy_world import PATHS, fill
from tests.browser.dashboard import dashboard
from tests.browser.pages import browsing
from tests.cli.world import World

_WIDTHS = (360, 1280, 3840)


def main() -> None:
    """Fill a site, and write a picture of each page in light and dark, on a telephone, a desk and a wall."""
    folder = Path(sys.argv[1]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as directory:
        os.chdir(directory)
        fill(World(Path(directory)))
        for scheme in ("light", "dark"):
            for width in _WIDTHS:
                size = {"width": width, "height": width * 9 // 16 if width > 400 else 740}
                with dashboard() as site, browsing(site, viewport=size, color_scheme=scheme) as page:
                    for path in PATHS:
                        page.goto(path)
                        page.wait_for_timeout(200)
                        name = path.strip("/").replace("/", "-").partition("?")[0] or "overview"
                        page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=width < 2000)


if __name__ == "__main__":
    main()
