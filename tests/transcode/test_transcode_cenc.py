"""Samples that Shaka Packager encrypts: decrypted by ffmpeg, compared with the MP4, and where their key is not."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import anyio
import av
import key_desk
import pytest
from transcode_bench import FFMPEGS, Desk, Samples, script

from jobkit import Reject
from workers.transcode import TranscodeResult, boxes, decrypt_child, process
from workers.transcode.common_encryption import _decrypted, join_segments
from workers.transcode.errors import OutputInvalid, PackagingFailed
from workers.transcode.hls import parse_media_playlist
from workers.transcode.job_tools import Bench
from workers.transcode.packager import find_packager, handed_over
from workers.transcode.process import Finished

needs_packager = pytest.mark.skipif(find_packager(None) is None, reason="there is no Shaka Packager here")
# Debian's 5.1 does not decrypt what has several fragments.
_FFMPEG = FFMPEGS["wheel"]
FOLDERS = {"180p": "video", "120p": "video", "audio": "audio"}


@dataclass(frozen=True)
class Encrypted:
    desk: Desk
    result: TranscodeResult
    commands: tuple[str, ...]

    def path(self, name: str) -> Path:
        return self.desk.blobs / name

    def files(self, folder: str) -> list[Path]:
        playlist = self.path(f"hls/{folder}/index.m3u8")
        return [playlist.parent / name for name in parse_media_playlist(playlist.read_text()).files()]


@pytest.fixture(scope="module", params=["cenc", "cbcs"])
def encrypted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, samples: Samples) -> Encrypted:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    desk.settings |= {"key_source": "key_desk:give", "encryption": request.param}
    commands: list[str] = []
    launched = process.launched

    def noted(command: Sequence[str], limits: process.Limits) -> list[str]:
        commands.append(" ".join([*command, *process.environment().values()]))
        return launched(command, limits)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(process, "launched", noted)
        result = anyio.run(lambda: desk.run(desk.place(samples.plain()), ladder=(180, 120), mp4=True))
    return Encrypted(desk, result, tuple(commands))


def key_of(made: Encrypted) -> str:
    assert made.result.key_id is not None
    return key_desk.key_of(made.result.key_id).hex()


@needs_packager
@pytest.mark.parametrize("folder", FOLDERS)
def test_ffmpeg_decrypts_every_packet(encrypted: Encrypted, tmp_path: Path, folder: str) -> None:
    whole, plain, kind = tmp_path / "whole.mp4", tmp_path / "plain.mp4", FOLDERS[folder]
    whole.write_bytes(b"".join(file.read_bytes() for file in encrypted.files(folder)))
    key = ["-decryption_key", key_of(encrypted)]
    subprocess.run([str(_FFMPEG), "-v", "error", *key, "-i", str(whole), "-c", "copy", str(plain)], check=True)
    found = coded(plain, kind)
    assert found
    assert coded(encrypted.path("180p.mp4" if folder == "audio" else f"{folder}.mp4"), kind)[-len(found) :] == found
    assert coded(whole, kind) != found


def coded(path: Path, kind: str) -> list[bytes]:
    with av.open(str(path)) as media:
        return [bytes(packet) for packet in media.demux(**{kind: 0}) if packet.size]


@needs_packager
def test_each_segment_begins_where_the_playlist_says(encrypted: Encrypted) -> None:
    for folder in FOLDERS:
        init, *segments = encrypted.files(folder)
        movie, clock = boxes.read(init), 0.0
        playlist = parse_media_playlist(encrypted.path(f"hls/{folder}/index.m3u8").read_text())
        assert movie.tracks[0].edits == ()
        # Sound lasts a packet longer than the pictures, and is cut by itself.
        assert len(segments) == (3 if folder == "audio" else 2)
        for segment, told in zip(segments, playlist.segments, strict=True):
            (found,) = boxes.samples(movie, [segment]).values()
            begins = min(each.presentation_time for each in found) / movie.tracks[0].timescale
            assert begins == pytest.approx(clock, abs=0.03 if folder == "audio" else 0.001)
            clock += told.duration


@needs_packager
def test_what_is_encrypted_says_how_and_by_which_key(encrypted: Encrypted) -> None:
    scheme, key_id = encrypted.result.encryption, encrypted.result.key_id
    assert scheme is not None
    assert key_id is not None
    raw = bytes.fromhex(key_id.replace("-", ""))
    method = {"cenc": "SAMPLE-AES-CTR", "cbcs": "SAMPLE-AES"}[scheme]
    for folder in FOLDERS:
        init = encrypted.files(folder)[0].read_bytes()
        assert b"tenc" in init
        assert b"schm" + bytes(4) + scheme.encode() in init
        assert raw in init
        told = f'#EXT-X-KEY:METHOD={method},URI="https://keys.example.com/{key_id}",KEYID=0x{raw.hex()}'
        assert encrypted.path(f"hls/{folder}/index.m3u8").read_text().count(told) == 1
    manifest = encrypted.path("hls/manifest.mpd").read_text()
    assert manifest.count(f'value="{scheme}" cenc:default_KID="{key_id}"') == 2
    assert not [name for name in encrypted.desk.outputs() if name.endswith("iframes.m3u8")]


@needs_packager
def test_the_key_is_on_no_command_line_and_in_no_file(encrypted: Encrypted) -> None:
    key = key_of(encrypted)
    assert any("--protection_scheme" in command for command in encrypted.commands)
    assert not [command for command in encrypted.commands if key in command.lower()]
    for name in encrypted.desk.outputs():
        content = encrypted.path(name).read_bytes()
        assert bytes.fromhex(key) not in content
        assert key.encode() not in content.lower()


async def test_missing_packager_is_told_before_the_work(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.settings |= {"ffmpeg": script(tmp_path / "no-ffmpeg", "exit 1"), "packager": str(tmp_path / "none")}
    desk.settings |= {"key_source": "key_desk:give"}
    with pytest.raises(Reject, match="JOBKIT_TRANSCODE_PACKAGER names"):
        await desk.run("any.mp4", encryption="cenc")


def test_segments_are_joined_to_those_that_there_were(tmp_path: Path) -> None:
    parts = [(f"{number:05d}.m4s", count) for number, count in enumerate((2, 1, 3, 1, 1))]
    for name, _ in parts:
        (tmp_path / name).write_text(name[4])
    join_segments(tmp_path, parts, [2, 4, 2])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "00000.m4s": "0",
        "00001.m4s": "12",
        "00002.m4s": "34",
    }


@pytest.mark.parametrize("wanted", [[1, 2], [2, 2], [3, 1]])
def test_segments_that_begin_elsewhere_are_damaged(tmp_path: Path, wanted: list[int]) -> None:
    for name in ("00000.m4s", "00001.m4s"):
        (tmp_path / name).touch()
    with pytest.raises(OutputInvalid, match="does not begin where it did"):
        join_segments(tmp_path, [("00000.m4s", 2), ("00001.m4s", 1)], wanted)


KEY, OTHER = "00112233445566778899aabbccddeeff", "ff112233445566778899aabbccddeeff"


@pytest.mark.parametrize(("key", "answer"), [(KEY, "done"), (OTHER, "damaged")])
def test_decrypting_tells_whether_it_is_what_was_encrypted(
    samples: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, answer: str
) -> None:
    fragments = ["-an", "-c", "copy", "-movflags", "+frag_keyframe+empty_moov"]
    by_ffmpeg = ["-encryption_scheme", "cenc-aes-ctr", "-encryption_key", KEY, "-encryption_kid", OTHER]
    plain, encrypted = tmp_path / "plain.mp4", tmp_path / "encrypted.mp4"
    samples.ffmpeg("-i", str(samples.plain()), *fragments, str(plain))
    samples.ffmpeg("-i", str(samples.plain()), *fragments, *by_ffmpeg, str(encrypted))
    content = encrypted.read_bytes()
    # As a package has it: in several files.
    (tmp_path / "a").write_bytes(content[:3000])
    (tmp_path / "b").write_bytes(content[3000:])
    parts = [str(tmp_path / "a"), str(tmp_path / "b")]
    order = tmp_path / "order.json"
    with handed_over(key.encode()) as fd:
        # The process that it is made for closes its own.
        order.write_text(json.dumps({"plain": [str(plain)], "encrypted": parts, "key": os.dup(fd)}))
        decrypt_child.main([str(order)])
    assert answer in json.loads(capsys.readouterr().out)


class Ended:
    """A supervisor of a process that failed at once, with the key at the beginning of what is shown of its words."""

    command: Sequence[str] = ()

    async def run(self, command: Sequence[str], **_: object) -> Finished:
        self.command = command
        return Finished(1, KEY + "." * 990)


async def test_a_decryption_takes_any_number_of_segments_and_never_tells_the_key(tmp_path: Path) -> None:
    ended = Ended()
    bench = cast(Bench, SimpleNamespace(supervisor=ended, directory=tmp_path))
    with pytest.raises(PackagingFailed) as failure:
        await _decrypted(bench, [f"encrypted/{number:05}.m4s" for number in range(10_000)], bytes.fromhex(KEY))
    assert sum(map(len, ended.command)) < 10_000
    assert KEY[-22:] not in str(failure.value)
