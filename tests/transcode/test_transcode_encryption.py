"""An encrypted package: decrypted by openssl and decoded by PyAV, and where its key is not to be found."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import av
import key_desk
import pytest
from pydantic import ValidationError
from transcode_bench import Desk, Samples, script

from jobkit import Reject
from workers.transcode import Transcode, TranscodeResult, hls, process, segment_cipher
from workers.transcode.content_key import ContentKey, PackageKey, key_request
from workers.transcode.encrypting import encrypt_package
from workers.transcode.errors import OutputInvalid
from workers.transcode.hls import parse_master_playlist, parse_media_playlist
from workers.transcode.job_tools import Bench
from workers.transcode.packaging import Playlists
from workers.transcode.plan import TranscodePlan

KEY = bytes(range(16))
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here")


@dataclass(frozen=True)
class Encrypted:
    """What one job made, what it ran, and what it logged."""

    desk: Desk
    result: TranscodeResult
    commands: tuple[str, ...]
    logged: str

    def path(self, name: str) -> Path:
        return self.desk.blobs / name


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory, samples: Samples) -> Encrypted:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    desk.settings |= {"key_source": "key_desk:give", "encryption": "aes-128"}
    commands: list[str] = []
    launched = process.launched

    def noted(command: Sequence[str], limits: process.Limits) -> list[str]:
        commands.append(" ".join([*command, *process.environment().values()]))
        return launched(command, limits)

    records: list[str] = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = lambda record: records.append(repr(record.__dict__))  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(process, "launched", noted)
        result = anyio.run(lambda: desk.run(desk.place(samples.plain()), ladder=(180,), mp4=True))
    logging.getLogger().removeHandler(handler)
    return Encrypted(desk, result, tuple(commands), "\n".join(records))


@needs_openssl
def test_openssl_decrypts_every_picture(encrypted: Encrypted, tmp_path: Path) -> None:
    (tmp_path / "plain.mp4").write_bytes(key_desk.decrypted(encrypted.path("hls/180p/index.m3u8")))
    assert coded(tmp_path / "plain.mp4", "video") == coded(encrypted.path("180p.mp4"), "video")


@needs_openssl
def test_openssl_decrypts_the_sound(encrypted: Encrypted, tmp_path: Path) -> None:
    (tmp_path / "plain.mp4").write_bytes(key_desk.decrypted(encrypted.path("hls/audio/index.m3u8")))
    # What is heard before time 0 is not in the package.
    packets = coded(encrypted.path("180p.mp4"), "audio")
    found = coded(tmp_path / "plain.mp4", "audio")
    assert found
    assert packets[-len(found) :] == found


def coded(path: Path, kind: str) -> list[bytes]:
    """Return the coded packets of a file, without those that only end it."""
    with av.open(str(path)) as media:
        return [bytes(packet) for packet in media.demux(**{kind: 0}) if packet.size]


def test_every_segment_has_a_vector_of_its_own_and_the_address_of_the_key(encrypted: Encrypted) -> None:
    found = [
        entry for folder in ("180p", "audio") for entry in key_desk.entries(encrypted.path(f"hls/{folder}/index.m3u8"))
    ]
    assert len(found) == 4
    assert len({vector for _, vector, _ in found}) == 4
    assert {uri for uri, _, _ in found} == {f"https://keys.example.com/{encrypted.result.key_id}"}


def test_bandwidths_are_those_of_what_is_sent(encrypted: Encrypted) -> None:
    master = parse_master_playlist(encrypted.path("hls/master.m3u8").read_text())
    sound = next(each for each in master.variants if each.size is None)
    playlist = encrypted.path(f"hls/{sound.uri}")
    sizes = [(playlist.parent / name).stat().st_size for _, _, name in key_desk.entries(playlist)]
    read = parse_media_playlist(playlist.read_text())
    assert (sound.bandwidth, sound.average_bandwidth) == hls.bandwidths(read, sizes)


def test_what_cannot_be_encrypted_so_is_left_out(encrypted: Encrypted) -> None:
    master = parse_master_playlist(encrypted.path("hls/master.m3u8").read_text())
    assert master.key_pictures == ()
    assert [name for name in encrypted.desk.outputs() if name.endswith((".mpd", "iframes.m3u8", ".part"))] == []
    assert (encrypted.result.encryption, encrypted.result.dash_manifest) == ("aes-128", None)


def test_the_key_is_in_no_file_log_result_or_command_line(encrypted: Encrypted) -> None:
    assert encrypted.result.key_id is not None
    key = key_desk.key_of(encrypted.result.key_id)
    told = [encrypted.path(name).read_bytes() for name in encrypted.desk.outputs()]
    told += [encrypted.result.model_dump_json().encode(), repr(encrypted.result).encode(), encrypted.logged.encode()]
    told += [command.encode() for command in encrypted.commands]
    assert any(b"package_child" in one for one in told)
    for one in told:
        assert key not in one
        assert key.hex().encode() not in one.lower()


async def test_mp4_files_are_not_kept_unless_they_are_asked_for(desk: Desk, samples: Samples) -> None:
    desk.settings |= {"key_source": "key_desk:give"}
    source = desk.place(samples.make("silent.mp4", seconds=1, sound=None))
    result = await desk.run(source, ladder=(180,), encryption="aes-128")
    segments = ["hls/180p/00000.m4s", "hls/180p/index.m3u8", "hls/180p/init.mp4"]
    assert desk.outputs() == [*segments, "hls/master.m3u8", "poster.jpg"]
    assert [(each.blob, each.size) for each in result.renditions] == [(None, None)]
    assert key_desk.asked[-1] == key_request("v1", "job-1", "aes-128")


def test_each_attempt_asks_by_the_same_id_and_each_job_by_another() -> None:
    first, again, other = (key_request("v1", job, "aes-128") for job in ("job-1", "job-1", "job-2"))
    assert first == again
    assert first.key_id != other.key_id


@pytest.fixture
def idle(tmp_path: Path) -> Desk:
    """What is refused is refused before any ffmpeg is run, so none is here."""
    desk = Desk(tmp_path)
    desk.settings["ffmpeg"] = script(tmp_path / "no-ffmpeg", "exit 1")
    return desk


@pytest.mark.parametrize(
    ("settings", "fields", "words"),
    [
        ({}, {"encryption": "aes-128"}, "JOBKIT_TRANSCODE_KEY_SOURCE names no key source"),
        ({"key_source": "nowhere.at.all:give"}, {"encryption": "aes-128"}, "'nowhere.at.all:give', which cannot be"),
        ({"key_source": "key_desk:take"}, {"encryption": "aes-128"}, "which cannot be imported"),
        ({"key_source": "key_desk:give", "encryption": "aes-128"}, {"hls": False}, "only the clear MP4 files would be"),
        ({"key_source": "key_desk:give", "encryption": "aes-128"}, {"storyboard": True}, "kept with mp4 = true"),
    ],
)
async def test_what_cannot_be_encrypted_is_refused_before_the_work(
    idle: Desk, settings: dict[str, Any], fields: dict[str, Any], words: str
) -> None:
    idle.settings |= settings
    with pytest.raises(Reject, match=words):
        await idle.run("any.mp4", **fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"encryption": "aes-128", "hls": False}, "encryption is of the package"),
        ({"mp4": False, "hls": False}, "nothing is made"),
    ],
)
def test_payload_that_asks_for_nothing_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Transcode(video_id="v1", source="s", **fields)


def test_key_is_not_shown() -> None:
    assert repr(ContentKey(KEY, "u")) == "ContentKey(uri='u')"


@pytest.mark.parametrize("key", [b"", bytes(15), bytes(32), "0" * 16])
def test_key_that_is_none_is_refused_without_being_quoted(key: Any) -> None:
    with pytest.raises(ValueError, match=r"^a key has 16 bytes$"):
        ContentKey(key, "https://keys.example.com/1")


@pytest.mark.parametrize("uri", ["", 'a"b', "a b", "a\nb", "u" * 2049, None])
def test_address_that_would_break_a_playlist_is_refused(uri: Any) -> None:
    with pytest.raises(ValueError, match="the URI of a key"):
        ContentKey(KEY, uri)


@pytest.mark.parametrize("size", [0, 15, 16, 17, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_file_of_any_size_comes_back_as_it_was(tmp_path: Path, size: int) -> None:
    file = tmp_path / "segment"
    content = bytes(number % 251 for number in range(size))
    file.write_bytes(content)
    told = segment_cipher.encrypt_file(file, KEY, bytes(16))
    assert file.stat().st_size == size // 16 * 16 + 16
    assert segment_cipher.plain_digest(file, KEY, bytes(16)) == told
    assert list(tmp_path.iterdir()) == [file]


def package_key(uri: str) -> PackageKey:
    return PackageKey(key_request("v1", "job-1", "aes-128"), ContentKey(KEY, uri))


def written(folder: Path) -> tuple[Bench, TranscodePlan, Playlists]:
    """Write a package of one rendition with two segments."""
    target = folder / "hls" / "180p"
    target.mkdir(parents=True)
    (target / "init.mp4").write_bytes(b"init")
    segments = [hls.Segment(1.0, hls.segment_file(number)) for number in range(2)]
    for segment in segments:
        (target / segment.uri).write_bytes(8 * segment.uri.encode())
    (target / "index.m3u8").write_text(hls.media_playlist(segments))

    async def report(*told: object) -> None:
        pass

    bench = cast(Bench, SimpleNamespace(directory=folder, report=report))
    plan = cast(TranscodePlan, SimpleNamespace(rungs=(SimpleNamespace(name="180p"),)))
    return bench, plan, Playlists((parse_media_playlist((target / "index.m3u8").read_text()),), (), ())


@pytest.mark.parametrize("damaged", [0, -1])
async def test_segment_that_does_not_decrypt_to_what_it_was_ends_the_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: int
) -> None:
    bench, plan, playlists = written(tmp_path)
    encrypt = segment_cipher.encrypt_file

    def damaging(path: Path, key: bytes, iv: bytes) -> bytes:
        told = encrypt(path, key, iv)
        if path.name == "00001.m4s":
            content = bytearray(path.read_bytes())
            content[damaged] ^= 1
            path.write_bytes(content)
        return told

    monkeypatch.setattr(segment_cipher, "encrypt_file", damaging)
    with pytest.raises(OutputInvalid, match=r"180p/00001\.m4s does not decrypt to what it was"):
        await encrypt_package(bench, plan, playlists, package_key("https://keys.example.com/1"))


async def test_playlist_says_what_each_segment_is_encrypted_with(tmp_path: Path) -> None:
    bench, plan, playlists = written(tmp_path)
    vectors = iter([bytes([number]) * 16 for number in range(2)])
    found = await encrypt_package(bench, plan, playlists, package_key("https://k/1"), lambda: next(vectors))
    lines = (tmp_path / "hls" / "180p" / "index.m3u8").read_text().splitlines()
    # The init segment is named before any key: it is not encrypted.
    assert lines[6:13] == [
        '#EXT-X-MAP:URI="init.mp4"',
        f'#EXT-X-KEY:METHOD=AES-128,URI="https://k/1",IV=0x{"00" * 16}',
        "#EXTINF:1.000000,",
        "00000.m4s",
        f'#EXT-X-KEY:METHOD=AES-128,URI="https://k/1",IV=0x{"01" * 16}',
        "#EXTINF:1.000000,",
        "00001.m4s",
    ]
    plain = [replace(segment, key=None) for segment in found.pictures[0].segments]
    assert plain == list(playlists.pictures[0].segments)
    assert (tmp_path / "hls" / "180p" / "init.mp4").read_bytes() == b"init"


@pytest.mark.parametrize(
    "key",
    [
        'METHOD=NONE,URI="k",IV=0x00',
        "METHOD=SAMPLE-AES",
        "METHOD=AES-128,IV=0x00",
        'METHOD=AES-128,URI="k"',
        'METHOD=AES-128,URI="k",IV=0xzz',
    ],
)
def test_key_that_is_not_understood_is_an_error(key: str) -> None:
    text = hls.media_playlist([hls.Segment(1.0, "00000.m4s")]).replace("#EXTINF", f"#EXT-X-KEY:{key}\n#EXTINF")
    with pytest.raises(ValueError, match=r"a key has none|hexadecimal"):
        parse_media_playlist(text)
