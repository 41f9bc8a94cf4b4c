"""The gallery in Chromium: a video is uploaded, plays while it is made anew, is told of by a webhook, or cancelled."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.chromium import PLAYERS
from tests.browser.pages import browsing
from tests.media.ffmpegs import Ffmpeg, any_installed

if TYPE_CHECKING:
    # Only `make test-browser` installs it.
    from playwright.sync_api import Locator, Page, Route

pytestmark = pytest.mark.browser

GALLERY = Path(__file__).parents[2] / "examples" / "gallery"
# A segment is a second long. The second video has not as many as the first.
FIRST_SECONDS, SECOND_SECONDS = 6, 2
_LATER_SEGMENTS = re.compile(r"/180p/0000[3-9]\.m4s$")
# A request that waits for a video to be transcoded is none that has failed.
_PATIENT_PLAYER = """window.addEventListener("load", () => {
  Object.assign(Hls.DefaultConfig.fragLoadPolicy.default, { maxTimeToFirstByteMs: 600000, maxLoadTimeMs: 600000 });
})"""
_SIZE = "320x180"
# How long a busy machine may take to start a worker, and to transcode some seconds.
_PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def hls_js() -> Path:
    """The player, as the content delivery network has it that the page names."""
    return PLAYERS / "hls.js" / "dist" / "hls.min.js"


@pytest.fixture(scope="module")
def ffmpeg() -> Ffmpeg:
    return any_installed()


def video(ffmpeg: Ffmpeg, path: Path, seconds: int) -> Path:
    """Make a video with sound."""
    path.parent.mkdir(exist_ok=True)
    picture = f"testsrc2=size={_SIZE}:rate=25:duration={seconds}"
    inputs = ("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", f"sine=440:duration={seconds}")
    ffmpeg.run(*inputs, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", str(path))
    return path


@contextmanager
def gallery(folder: Path) -> Iterator[str]:
    """Run the application and its worker in a new folder, as its README says; yield the address."""
    (folder / "uploads").mkdir(parents=True)
    shutil.copy(GALLERY / "gallery.env", folder)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("JOBKIT_")}
    site = f"http://127.0.0.1:{_free_port()}"
    environment = {
        **inherited,
        "GALLERY_HOOK": f"{site}/hook",
        "JOBKIT_TRANSCODE_PRESET": "ultrafast",
        "JOBKIT_TRANSCODE_SEGMENT_SECONDS": "1",
    }
    application = ("uvicorn", "--app-dir", str(GALLERY), "--port", site.rpartition(":")[2], "app:app")
    with (
        _process(folder, environment, *application) as started,
        _process(folder, environment, "jobkit", "worker", "transcode", "webhook"),
    ):
        while not _answers(site):
            assert started.poll() is None, (folder / "uvicorn.log").read_text()
            time.sleep(0.1)
        yield site


def _answers(site: str) -> bool:
    """Return whether the application has started: it takes no connection before."""
    host, _, port = site.removeprefix("http://").partition(":")
    with socket.socket() as one:
        return one.connect_ex((host, int(port))) == 0


@contextmanager
def _process(folder: Path, environment: dict[str, str], *command: str) -> Iterator[subprocess.Popen[str]]:
    words = (sys.executable, "-m", *command, "--env-file", "gallery.env")
    # What they log has to go somewhere that is never full.
    with (
        (folder / f"{command[0]}.log").open("w") as log,
        subprocess.Popen(words, cwd=folder, env=environment, stdout=log, stderr=log, text=True) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Gate:
    """Keeps requests waiting until it is opened."""

    def __init__(self) -> None:
        self.held: list[Route] = []
        self._is_open = False

    def reached(self, route: Route) -> None:
        """Let a request pass, or wait."""
        if self._is_open:
            route.continue_()
        else:
            self.held.append(route)

    def open(self) -> None:
        """Let all pass."""
        self._is_open = True
        for route in self.held:
            route.continue_()


def upload(page: Page, file: Path) -> Locator:
    """Upload a video by the form; return what the page shows of it."""
    page.get_by_label("Video").set_input_files(file)
    page.get_by_role("button", name="Upload").click()
    return page.locator("article").first


def test_a_video_is_uploaded_played_made_anew_and_told_of_and_another_one_cancelled(
    tmp_path: Path, hls_js: Path, ffmpeg: Ffmpeg
) -> None:
    first = video(ffmpeg, tmp_path / "first" / "film.mp4", FIRST_SECONDS)
    second = video(ffmpeg, tmp_path / "second" / "film.mp4", SECOND_SECONDS)
    long = tmp_path / "long.mp4"
    ffmpeg.run("-stream_loop", "199", "-i", str(first), "-c", "copy", str(long))
    with gallery(tmp_path / "site") as site, browsing(site) as page:
        page.set_default_timeout(_PATIENCE_MS)
        page.route("https://cdn.jsdelivr.net/**", lambda route: route.fulfill(path=hls_js))
        page.add_init_script(_PATIENT_PLAYER)
        gate = Gate()
        page.route(_LATER_SEGMENTS, gate.reached)
        page.goto("/")
        upload(page, first)
        shown = page.locator("article").last
        shown.get_by_text("announced at").wait_for()
        player = shown.locator("video").element_handle()
        assert player is not None
        page.wait_for_function("video => video.readyState >= 2", arg=player)
        assert player.evaluate("video => video.duration") == pytest.approx(FIRST_SECONDS, abs=0.3)

        # The same video again, while the first one plays and has yet to ask for its later half.
        upload(page, second).get_by_text("announced at").wait_for()
        assert gate.held
        gate.open()
        player.evaluate("video => { video.playbackRate = 4; return video.play(); }")
        page.wait_for_function("video => video.ended", arg=player)
        newer = page.locator("article").first.locator("video").element_handle()
        assert newer is not None
        page.wait_for_function("video => video.readyState >= 2", arg=newer)
        assert newer.evaluate("video => video.duration") == pytest.approx(SECOND_SECONDS, abs=0.3)

        cancelled = upload(page, long)
        cancelled.get_by_text(re.compile("running [1-9]")).wait_for()
        cancelled.get_by_role("button", name="Cancel").click()
        cancelled.get_by_text("was cancelled by gallery: nobody wants it any more").wait_for()
        status = page.request.get("/files/transcode/long.mp4/poster.jpg").status
        assert status == 404


def test_what_is_no_video_and_what_is_not_signed_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with gallery(tmp_path / "site") as site, browsing(site) as page:
        page.set_default_timeout(_PATIENCE_MS)
        page.route("https://cdn.jsdelivr.net/**", lambda route: route.fulfill(body="var Hls;"))
        page.goto("/")
        upload(page, text).get_by_text("failed for good").wait_for()
        assert page.request.post("/hook", data={"type": "video.ready"}, headers={"webhook-id": "a"}).status == 400
        assert page.request.get("/jobs/nobody/live").status == 404
