"""What is encrypted plays in Chromium, and only with its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.chromium import playing
from tests.browser.judge import playing_problems
from tests.media.ffmpegs import Ffmpeg
from tests.media.packages import Package, Workshop
from workers.transcode import ContentKey, KeyRequest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_KEY = bytes(range(16))
_ADDRESS = "/keys/v1.key"
# Encryption, player, and manifest. Playlists tell where the key is; of DASH, Shaka Player is given it by hand.
_PLAYED = [
    ("aes-128", "hls.js", "master.m3u8"),
    ("aes-128", "shaka", "master.m3u8"),
    ("cenc", "shaka", "master.m3u8"),
    ("cenc", "shaka", "manifest.mpd"),
    ("cbcs", "shaka", "master.m3u8"),
    ("cbcs", "shaka", "manifest.mpd"),
]


async def give(request: KeyRequest) -> ContentKey:
    """Give one key; its address is on the server that the package comes from."""
    return ContentKey(_KEY, _ADDRESS)


@pytest.fixture(scope="module")
def packages(workshop: Workshop, ffmpeg: Ffmpeg) -> dict[str, Package]:
    kinds = sorted({encryption for encryption, _, _ in _PLAYED})
    return {each: workshop.encrypted("constant", ffmpeg, each, f"{__name__}:give") for each in kinds}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Serve the key."""
    (tmp_path / "v1.key").write_bytes(_KEY)
    return tmp_path


@pytest.mark.parametrize(("encryption", "player", "manifest"), _PLAYED)
def test_encrypted_package_plays_from_beginning_to_end(
    packages: dict[str, Package], keys: Path, encryption: str, player: str, manifest: str
) -> None:
    package = packages[encryption]
    by_hand = {(package.result.key_id or "").replace("-", ""): _KEY.hex()} if manifest.endswith(".mpd") else None
    name, seconds = f"hls/{manifest}", package.source.seconds
    with playing(player, package.folder, name, seconds, more={"keys": keys}, clear_keys=by_hand) as page:
        problems = playing_problems(page.play_to_end(), package.source)
    assert not problems, "\n".join(problems)


def test_another_key_shows_nothing(packages: dict[str, Package], keys: Path) -> None:
    from playwright.sync_api import Error

    (keys / "v1.key").write_bytes(bytes(16))
    package = packages["aes-128"]
    with (
        pytest.raises(Error, match=r"hls\.js"),
        playing("hls.js", package.folder, "hls/master.m3u8", package.source.seconds, more={"keys": keys}) as page,
    ):
        page.play_to_end()
