"""Every page of the dashboard in Chromium: for everybody, in any light, and with what it needs itself."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from jobkit.plugin.loading import load_plugins
from tests.browser.busy_world import PATHS, fill
from tests.browser.chromium import PLAYERS
from tests.browser.dashboard import browsing, dashboard
from tests.cli.world import PLUGIN, World

pytestmark = pytest.mark.browser

_AXE = PLAYERS / "axe-core" / "axe.min.js"
_FILMS = "tests.browser.films"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jobkit.plugin.loading.entry_points", lambda **_: ())
    return tmp_path


@pytest.mark.skipif(not _AXE.is_file(), reason="axe-core is not installed")
def test_axe_finds_nothing_serious_on_any_page(directory: Path) -> None:
    fill(World(directory))
    found = []
    with dashboard() as site:
        for scheme, width in (("light", 1280), ("dark", 360)):
            with browsing(site, color_scheme=scheme, viewport={"width": width, "height": 800}) as page:
                for path in PATHS:
                    page.goto(path)
                    page.evaluate(_AXE.read_text())
                    told = page.evaluate("axe.run({resultTypes: ['violations'], iframes: false})")
                    found += [
                        (
                            path,
                            scheme,
                            one["id"],
                            one["nodes"][0]["html"][:200],
                            one["nodes"][0]["failureSummary"][:300],
                        )
                        for one in told["violations"]
                        if one["impact"] in ("serious", "critical")
                    ]
    assert found == []


def test_a_film_is_played_in_its_page_by_the_dashboards_own_player(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBKIT_PLUGINS", f"{PLUGIN},{_FILMS}")
    source = ("-f", "lavfi", "-i", "testsrc=size=320x180:rate=25:duration=2", "-pix_fmt", "yuv420p", "-c:v", "libx264")
    (directory / "made" / "hls").mkdir(parents=True)
    hls = ("-hls_segment_type", "fmp4", "-hls_time", "1", "-hls_playlist_type", "vod", "made/hls/master.m3u8")
    made = directory / "made"
    ffmpeg = shutil.which("ffmpeg")
    assert ffmpeg is not None
    subprocess.run([ffmpeg, "-loglevel", "error", *source, *hls], check=True)
    files = sorted(str(path.relative_to(made)) for path in made.rglob("*") if path.is_file())
    world = World(directory, load_plugins([PLUGIN, _FILMS]))
    world.accepted("film", {"title": "t", "folder": str(made), "files": files}, id="film")
    world.worked_off("film")
    with dashboard(JOBKIT_PLUGINS=f"{PLUGIN},{_FILMS}") as site, browsing(site) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto("/jobs/film")
        page.get_by_role("button", name="Play it here").click()
        film = page.locator("video")
        deadline = time.monotonic() + 30
        while film.evaluate("film => film.currentTime") < 0.5:
            assert time.monotonic() < deadline, film.evaluate("film => film.error?.message")
            page.wait_for_timeout(100)
        assert [url for url in asked if not url.startswith((site, "blob:"))] == []
