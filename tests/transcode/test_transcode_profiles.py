"""Profiles are data: what they may say, what they are refused for, and what is made of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from transcode_bench import Desk, Samples

from jobkit import Reject
from tests.media import rawtimes
from tests.media.playlists import read_master
from workers.transcode.codecs import VideoCodec
from workers.transcode.encoder_trial import Tool
from workers.transcode.encoders import ENCODERS, LIBX264, SOFTWARE, Coding
from workers.transcode.errors import FfmpegFailed
from workers.transcode.hls import parse_master_playlist
from workers.transcode.ladder import Size
from workers.transcode.profile import AudioProfile, LadderStep, Profile, VideoProfile, known_profiles, read_profiles
from workers.transcode.renditions import choose_renditions, plain_way, way
from workers.transcode.settings import TranscodeSettings
from workers.transcode.sound_codecs import SoundCodec, SoundCoding
from workers.transcode.working_encoders import WorkingEncoders

SETTINGS = TranscodeSettings(ladder=(720, 240))
ALL_CODECS = """
[profiles.all]
version = 3

[[profiles.all.video]]
codec = "h264"
preset = "ultrafast"

[[profiles.all.video]]
codec = "hevc"
preset = "ultrafast"

[[profiles.all.video]]
codec = "av1"
preset = "ultrafast"
largest = 120

[[profiles.all.video]]
codec = "vp9"
preset = "ultrafast"
largest = 120

[[profiles.all.video]]
codec = "hevc"
preset = "ultrafast"
hdr = "keep"
"""


def written(folder: Path, text: str, name: str = "profiles.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    toml = read_profiles(
        written(tmp_path, "[profiles.a]\nversion = 2\nladder = [240, { size = 720, max_bitrate = 90000 }]")
    )
    content = {"profiles": {"a": {"version": 2, "ladder": [240, {"size": 720, "max_bitrate": 90000}]}}}
    assert toml == read_profiles(written(tmp_path, json.dumps(content), "profiles.json"))
    assert toml["a"].over(SETTINGS).ladder == (720, 240)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("profiles = 3", "profiles: Input should be a valid dictionary"),
        ("[profiles.a", "cannot be read"),
        ("[profiles.a]\nspeed = 1", "a.speed: Extra inputs are not permitted"),
        ("[profiles.a]\nladder = [241]", "241 is no rung"),
        ("[profiles.a]\nvideo = []", "at least 1 item"),
        ("[profiles.A]\n", "'A' is no name of a profile"),
        ('[[profiles.a.video]]\ncodec = "h265"', "'h264', 'hevc', 'av1' or 'vp9'"),
        ('[[profiles.a.video]]\ncodec = "av1"\nencoder = "libx264"', "no encoder 'libx264' for av1"),
        ("[[profiles.a.video]]\nquality = 60", "that of h264 ends at 51"),
        ('[[profiles.a.video]]\nhdr = "keep"', "H.264 cannot keep HDR"),
        ('[[profiles.a.video]]\ncodec = "hevc"\nhdr = "keep"', "for everybody"),
        ("[[profiles.a.video]]\n[[profiles.a.video]]", "each codec may be there once"),
        ('[[profiles.a.audio]]\ncodec = "opus"', "so it is aac"),
        ("[[profiles.a.audio]]\n[[profiles.a.audio]]", "each may be there once"),
        ("[[profiles.a.audio]]\nchannel_bitrate = 5", "channel_bitrate: Input should be greater"),
        ("[[profiles.a.video]]\nvmaf = 100", "vmaf: Input should be less"),
        ("[[profiles.a.video]]\nbest_quality = 20", "bound the search for a vmaf score"),
        ("[[profiles.a.video]]\nvmaf = 93\nworst_quality = 52", "worst_quality 52: that of h264 ends at 51"),
        ("[[profiles.a.video]]\nvmaf = 93\nbest_quality = 39", "best_quality (39) is above worst_quality (38)"),
        ('[[profiles.a.video]]\n[[profiles.a.video]]\ncodec = "av1"\nhdr = "keep"\nvmaf = 9e1', "a measure of SDR"),
        ("[[profiles.a.video]]\nsmallest = 720\nlargest = 240", "smallest (720) is larger than largest (240)"),
    ],
)
def test_profile_that_cannot_be_made_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match="profiles") as caught:
        read_profiles(written(tmp_path, text))
    assert words in str(caught.value)


def test_profiles_to_copy_from_can_be_made() -> None:
    shipped = read_profiles(Path(__file__).parents[2] / "configs/profiles.toml")
    assert sorted(shipped) == ["cinema", "plain", "score", "web"]
    assert shipped["plain"] == Profile(version=1, description=shipped["plain"].description)


def test_default_profile_is_what_the_settings_say() -> None:
    (default,) = known_profiles(SETTINGS).values()
    assert default.over(SETTINGS) == SETTINGS
    (video,) = default.video
    coding = Coding(SOFTWARE[video.codec], video.preset_over(SETTINGS), video.quality_over(SETTINGS))
    assert way(default, video, coding) == plain_way(SETTINGS)


def test_ceilings_of_a_ladder_go_by_size_rate_and_codec() -> None:
    step = LadderStep(size=720, max_bitrate=2_000_000, max_bitrate_fast=3_000_000)
    profile = Profile(ladder=(step, 240), video=(VideoProfile(), VideoProfile(codec=VideoCodec.HEVC, smallest=720)))
    ways = [way(profile, video, Coding(SOFTWARE[video.codec], "medium", 23)) for video in profile.video]

    def bits(rate: float) -> dict[str, int]:
        chosen = choose_renditions(Size(1280, 720), (720, 240), rate, ways, hdr=False, keep_size=True)
        return {rung.name: rung.max_bitrate for rung in chosen}

    assert bits(25) == {"720p": 2_000_000, "240p": 520_000, "720p-hevc": 1_400_000}
    assert bits(60)["720p"] == 3_000_000


def test_first_way_has_a_rendition_however_small_the_source_is() -> None:
    ways = [way(Profile(), VideoProfile(smallest=720), Coding(LIBX264, "medium", 23))]
    chosen = choose_renditions(Size(640, 360), (1080, 720, 240), 25, ways, hdr=False, keep_size=True)
    assert [rung.name for rung in chosen] == ["360p"]


def encoders(video: VideoProfile, broken: Mapping[str, str]) -> WorkingEncoders:
    async def trial(binary: Path, coding: Coding, settings: TranscodeSettings) -> str | None:
        return broken.get(coding.encoder.name)

    return WorkingEncoders(SETTINGS, {"default": Profile(video=(VideoProfile(), video))}, trial)


async def test_hardware_that_does_not_work_gives_way_to_software() -> None:
    wanted = VideoProfile(codec=VideoCodec.HEVC, encoder="hevc_nvenc")
    chosen = await encoders(wanted, {"hevc_nvenc": "no device"}).choose(None)
    assert [each.coding.encoder.name for each in chosen.ways] == ["libx264", "libx265"]
    assert chosen.warnings == ("hevc_nvenc does not work here (no device); libx265 was used",)


async def test_hardware_that_works_is_taken_where_either_will_do() -> None:
    wanted = VideoProfile(codec=VideoCodec.HEVC, encoder="auto")
    chosen = await encoders(wanted, {"hevc_nvenc": "no device"}).choose(None)
    assert [each.coding.encoder.name for each in chosen.ways] == ["libx264", "hevc_qsv"]
    assert chosen.warnings == ()


async def test_codec_that_cannot_be_made_is_left_out_and_told() -> None:
    chosen = await encoders(VideoProfile(codec=VideoCodec.AV1), {"libsvtav1": "Unknown encoder"}).choose(None)
    assert [each.coding.encoder.name for each in chosen.ways] == ["libx264"]
    assert chosen.warnings == ("renditions in av1 are left out, as this worker cannot make them: Unknown encoder",)


async def test_sound_that_cannot_be_made_is_left_out_and_told() -> None:
    async def trial(binary: Path, tool: Tool, settings: TranscodeSettings) -> str | None:
        return "Unknown encoder 'libopus'"

    profile = Profile(audio=(AudioProfile(channel_bitrate=96_000), AudioProfile(codec=SoundCodec.OPUS)))
    chosen = await WorkingEncoders(SETTINGS, {"default": profile}, tool_trial=trial).choose(None)
    assert chosen.sounds == (SoundCoding(SoundCodec.AAC, 96_000),)
    assert chosen.warnings == ("sound in opus is left out, as this worker cannot make it: Unknown encoder 'libopus'",)


async def test_worker_without_the_codec_for_everybody_leaves_the_job_to_another() -> None:
    async def trial(binary: Path, coding: Coding, settings: TranscodeSettings) -> str | None:
        return "Unknown encoder"

    profile = Profile(video=(VideoProfile(codec=VideoCodec.HEVC),))
    with pytest.raises(FfmpegFailed, match="cannot encode hevc, which profile default is built on"):
        await WorkingEncoders(SETTINGS, {"default": profile}, trial).choose(None)


async def test_profile_that_there_is_not_is_refused(desk: Desk, samples: Samples) -> None:
    with pytest.raises(Reject, match="no profile 'web' here: JOBKIT_TRANSCODE_PROFILES has default"):
        await desk.run(desk.place(samples.plain()), profile="web")


def test_hardware_is_set_up_once_and_given_its_own_pictures() -> None:
    for name in ("h264_vaapi", "hevc_qsv", "av1_nvenc"):
        encoder = ENCODERS[name]
        made = Coding(encoder, "medium", 23).arguments(1_000_000, 2)
        assert made[:2] == ["-c:v", name]
    assert ENCODERS["h264_vaapi"].setup[0] == "-init_hw_device"


async def test_codecs_are_made_side_by_side(desk: Desk, samples: Samples, ffmpeg: str, tmp_path: Path) -> None:
    desk.settings |= {"ffmpeg": ffmpeg, "profiles": written(tmp_path, ALL_CODECS), "profile": "all"}
    result = await desk.run(desk.place(samples.make("codecs.mp4", seconds=2.5)), ladder=(180, 120))
    assert result.profile == "all@3"
    assert result.warnings == ()
    made = {each.name: (each.encoder, each.codecs.split(".")[0], each.video_range) for each in result.renditions}
    assert made == {
        "180p": ("libx264", "avc1", "SDR"),
        "120p": ("libx264", "avc1", "SDR"),
        "180p-hevc": ("libx265", "hvc1", "SDR"),
        "120p-hevc": ("libx265", "hvc1", "SDR"),
        "120p-av1": ("libsvtav1", "av01", "SDR"),
        "120p-vp9": ("libvpx-vp9", "vp09", "SDR"),
    }
    variants = read_master(desk.blobs / "hls/master.m3u8").variants
    for rendition in result.renditions:
        (variant,) = [each for each in variants if each.name == rendition.name]
        assert rawtimes.timing_problems(variant, desk.blobs / rendition.blob, 0.04) == []
    manifest = (desk.blobs / "hls/manifest.mpd").read_text()
    assert manifest.count('contentType="video"') == 4


async def test_hdr_is_kept_beside_what_is_for_everybody(
    desk: Desk, samples: Samples, ffmpeg: str, tmp_path: Path
) -> None:
    tags = "setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084:range=tv"
    picture = f"testsrc2=size=320x180:rate=25,format=yuv420p10le,{tags}"
    coded = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p10le")
    source = samples.make("pq.mkv", picture=picture, seconds=1.2, options=coded)
    plain = "[profiles.hdr]\n[[profiles.hdr.video]]\n"
    keep = f'{plain}[[profiles.hdr.video]]\ncodec = "av1"\nhdr = "keep"\npreset = "ultrafast"'
    desk.settings |= {"ffmpeg": ffmpeg, "profiles": written(tmp_path, keep)}
    result = await desk.run(desk.place(source), profile="hdr", ladder=(180,))
    assert [(each.name, each.video_range) for each in result.renditions] == [("180p", "SDR"), ("180p-av1-hdr", "PQ")]
    assert result.renditions[1].codecs.startswith("av01.0.")
    assert ".10," in result.renditions[1].codecs
    master = parse_master_playlist((desk.blobs / "hls/master.m3u8").read_text())
    assert [each.video_range for each in master.variants if each.size] == ["SDR", "PQ"]
    assert 'TransferCharacteristics" value="16"' in (desk.blobs / "hls/manifest.mpd").read_text()
