"""One video through the whole processor, and every output looked at by other means than the processor's own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import anyio
import av
import pytest
from transcode_bench import Desk, Samples

from workers.transcode import Rendition, TranscodeResult, transcode
from workers.transcode.boxes import fragments, read
from workers.transcode.boxes import samples as read_samples
from workers.transcode.hls import parse_byte_ranges, parse_master_playlist, parse_media_playlist
from workers.transcode.ladder import Size

LADDER = (360, 240)


@dataclass(frozen=True)
class Done:
    result: TranscodeResult
    desk: Desk

    def path(self, name: str) -> Path:
        return self.desk.blobs / name


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, samples: Samples, ffmpeg: str) -> Done:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    desk.settings["ffmpeg"] = ffmpeg
    source = samples.make(
        "film.mp4",
        size="640x360",
        seconds=2.5,
        options=("-metadata", "location=+48.1+011.5/", "-metadata", "title=private", "-ac", "2"),
    )
    desk.settings["preset"] = "veryfast"

    async def run() -> TranscodeResult:
        return await desk.run(desk.place(source), ladder=LADDER)

    return Done(anyio.run(run), desk)


def keyframes(path: Path) -> list[float]:
    with av.open(str(path)) as media:
        return [
            round(float(packet.pts * packet.time_base), 3)
            for packet in media.demux(video=0)
            if packet.pts is not None and packet.is_keyframe
        ]


def test_result_tells_all_facts_of_the_source(done: Done) -> None:
    source = done.result.source
    assert (source.width, source.height, source.rotation) == (640, 360, 0)
    assert (source.video_codec, source.audio_codec, source.audio_channels) == ("h264", "aac", 2)
    assert source.frame_rate == pytest.approx(25, abs=0.1)
    assert done.result.duration == pytest.approx(2.5, abs=0.05)
    assert source.size == (done.desk.sources / "film.mp4").stat().st_size


def test_result_and_files_agree(done: Done) -> None:
    assert [(each.name, each.width, each.height) for each in done.result.renditions] == [
        ("360p", 640, 360),
        ("240p", 426, 240),
    ]
    for rendition in done.result.renditions:
        assert rendition.size == done.path(rendition.blob).stat().st_size
        with av.open(str(done.path(rendition.blob))) as media:
            video, audio = media.streams.video[0], media.streams.audio[0]
            assert (video.width, video.height) == (rendition.width, rendition.height)
            assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
            assert video.codec_context.pix_fmt == "yuv420p"
            assert media.duration is not None
            assert media.duration / av.time_base == pytest.approx(2.5, abs=0.1)
            assert rendition.duration == pytest.approx(2.5, abs=0.1)


def test_exactly_the_named_files_are_stored(done: Done) -> None:
    segments = [f"hls/{name}/{file}" for name in ("240p", "360p", "audio") for file in HLS_FILES]
    pictures = [f"hls/{name}/iframes.m3u8" for name in ("240p", "360p")]
    named = ["240p.mp4", "360p.mp4", "hls/manifest.mpd", "hls/master.m3u8", "poster.jpg"]
    assert done.desk.outputs() == sorted([*named, *segments, *pictures])


HLS_FILES = ("00000.m4s", "00001.m4s", "00002.m4s", "index.m3u8", "init.mp4")


def test_mp4_can_be_played_while_it_loads(done: Done) -> None:
    for rendition in done.result.renditions:
        content = done.path(rendition.blob).read_bytes()
        assert 0 < content.index(b"moov") < content.index(b"mdat")


def test_nothing_private_of_the_source_is_passed_on(done: Done) -> None:
    for name in done.desk.outputs():
        content = done.path(name).read_bytes()
        assert b"+48.1" not in content
        assert b"private" not in content


def test_keyframes_fall_together_once_a_segment(done: Done) -> None:
    assert keyframes(done.path("360p.mp4")) == keyframes(done.path("240p.mp4")) == [0.0, 1.0, 2.0]


def test_master_playlist_leads_to_renditions_that_are_as_it_says(done: Done) -> None:
    assert done.result.hls_master == "hls/master.m3u8"
    master = parse_master_playlist(done.path("hls/master.m3u8").read_text())
    *variants, only_sound = master.variants
    assert only_sound.codecs == "mp4a.40.2"
    assert [(each.uri, each.group) for each in master.alternatives] == [(only_sound.uri, only_sound.sound)]
    assert [each.uri for each in master.key_pictures] == ["360p/iframes.m3u8", "240p/iframes.m3u8"]
    for variant, rendition in zip(variants, done.result.renditions, strict=True):
        assert f"hls/{variant.uri}" == rendition.playlist
        assert variant.codecs == rendition.codecs
        assert variant.codecs == f"avc1.{profile_of(done.path(rendition.blob))},mp4a.40.2"
        assert variant.size == Size(rendition.width, rendition.height)
        assert variant.frame_rate == pytest.approx(25, abs=0.01)
        check_bandwidth(
            done,
            rendition,
            variant.bandwidth - only_sound.bandwidth,
            variant.average_bandwidth - only_sound.average_bandwidth,
        )


def profile_of(path: Path) -> str:
    with av.open(str(path)) as media:
        extradata = media.streams.video[0].codec_context.extradata
        assert extradata is not None
        return bytes(extradata)[1:4].hex().upper()


def check_bandwidth(done: Done, rendition: Rendition, peak: int, average: int) -> None:
    assert rendition.playlist is not None
    folder = done.path(rendition.playlist).parent
    playlist = parse_media_playlist(done.path(rendition.playlist).read_text())
    sizes = [(folder / segment.uri).stat().st_size for segment in playlist.segments]
    assert playlist.duration == pytest.approx(2.5, abs=0.1)
    assert average == pytest.approx(sum(sizes) * 8 / playlist.duration, rel=0.01)
    fastest = max(size * 8 / segment.duration for size, segment in zip(sizes, playlist.segments, strict=True))
    assert average <= peak <= fastest + 1


def test_hls_package_plays_from_the_master_playlist(done: Done, samples: Samples) -> None:
    for program in ("0", "1", "2"):
        samples.ffmpeg("-xerror", "-i", str(done.path("hls/master.m3u8")), "-map", f"0:p:{program}", "-f", "null", "-")


def test_dash_manifest_names_the_same_segments(done: Done) -> None:
    assert done.result.dash_manifest == "hls/manifest.mpd"
    manifest = ElementTree.fromstring(done.path("hls/manifest.mpd").read_text())  # noqa: S314  (our own file)
    space = {"": "urn:mpeg:dash:schema:mpd:2011"}
    for adaptation in manifest.iterfind(".//AdaptationSet", space):
        template = adaptation.find("SegmentTemplate", space)
        assert template is not None
        lengths = [
            int(each.attrib["d"])
            for each in template.iterfind("SegmentTimeline/S", space)
            for _ in range(int(each.get("r", "0")) + 1)
        ]
        for representation in adaptation.iterfind("Representation", space):
            playlist = parse_media_playlist(done.path(f"hls/{representation.attrib['id']}/index.m3u8").read_text())
            assert [length / 1e6 for length in lengths] == [segment.duration for segment in playlist.segments]
            assert [segment.uri for segment in playlist.segments] == [f"{n:05d}.m4s" for n in range(len(lengths))]


def test_init_segments_hold_no_edit_list(done: Done) -> None:
    for name in ("360p", "240p", "audio"):
        (track,) = read(done.path(f"hls/{name}/init.mp4")).tracks
        assert track.edits == ()


def test_each_segment_begins_where_the_playlist_says(done: Done) -> None:
    for name in ("360p", "240p", "audio"):
        playlist = parse_media_playlist(done.path(f"hls/{name}/index.m3u8").read_text())
        movie, clock = read(done.path(f"hls/{name}/init.mp4")), 0.0
        for segment in playlist.segments:
            (found,) = read_samples(movie, [done.path(f"hls/{name}/{segment.uri}")]).values()
            first = min(each.presentation_time for each in found) / movie.tracks[0].timescale
            assert first == pytest.approx(clock, abs=0.001)
            clock += segment.duration


def test_playlist_of_pictures_leads_to_one_keyframe_each(done: Done) -> None:
    for name in ("360p", "240p"):
        folder = done.path(f"hls/{name}")
        movie = read(folder / "init.mp4")
        ranges = parse_byte_ranges((folder / "iframes.m3u8").read_text())
        for segment, part in zip(sorted(folder.glob("*.m4s")), ranges, strict=True):
            first = next(fragments(movie, segment))
            assert [sample.keyframe for sample in first.samples] == [True]
            (sample,) = first.samples
            assert sample.position + sample.size == part.offset + part.length


def test_nothing_unexpected_has_become_of_a_usual_source(done: Done) -> None:
    assert done.result.warnings == ()


def test_poster_is_a_jpeg_of_the_largest_rendition(done: Done) -> None:
    with av.open(str(done.path(done.result.poster))) as picture:
        frame = next(picture.decode(video=0))
        assert (frame.width, frame.height) == (640, 360)
        assert picture.streams.video[0].codec_context.name == "mjpeg"


def test_progress_rises_to_the_end(done: Done) -> None:
    fractions = [fraction for fraction, _ in done.desk.store.seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_scratch_is_gone(done: Done) -> None:
    assert done.desk.left_behind() == []


def test_result_can_be_committed(done: Done) -> None:
    assert TranscodeResult.model_validate_json(transcode.dump_result(done.result)) == done.result


async def test_same_input_gives_the_same_outputs(tmp_path: Path, samples: Samples) -> None:
    first, second = [await outputs_of(tmp_path / name, samples, threads=2) for name in ("one", "two")]
    assert len(first[1]) == 13
    assert first[1].keys() == second[1].keys()
    # How x264 keeps to its bit rate with several threads depends on timing, so sizes may differ a little.
    assert without_sizes(first[0]) == without_sizes(second[0])


async def test_same_input_gives_the_same_bytes_with_one_thread(tmp_path: Path, samples: Samples) -> None:
    first, second = [await outputs_of(tmp_path / name, samples, threads=1) for name in ("one", "two")]
    assert first == second


async def outputs_of(folder: Path, samples: Samples, *, threads: int) -> tuple[TranscodeResult, dict[str, str]]:
    """Return the result, and the digest of every output, of one more run over the same source."""
    await anyio.Path(folder).mkdir()
    desk = Desk(folder)
    desk.settings["threads"] = threads
    result = await desk.run(desk.place(samples.plain()))
    return result, {name: hashlib.sha256((desk.blobs / name).read_bytes()).hexdigest() for name in desk.outputs()}


def without_sizes(result: TranscodeResult) -> TranscodeResult:
    renditions = tuple(each.model_copy(update={"size": 0}) for each in result.renditions)
    return result.model_copy(update={"renditions": renditions})


async def test_without_hls_there_is_no_package(desk: Desk, samples: Samples) -> None:
    result = await desk.run(desk.place(samples.plain()), hls=False)
    assert desk.outputs() == ["180p.mp4", "poster.jpg"]
    assert result.hls_master is None
    assert result.renditions[0].playlist is None


def test_processor_is_found_under_its_name() -> None:
    assert transcode.name == "transcode"
    payload = transcode.parse(b'{"video_id": "v7", "source": "a.mp4", "poster_at": 3.5, "ladder": [240, 720]}')
    assert transcode.key_of(payload) == "v7"
    assert payload.ladder == (720, 240)
    assert payload.poster_at is not None
    assert payload.poster_at.total_seconds() == 3.5


def test_importing_the_plugin_brings_no_media_library_along() -> None:
    code = "import sys, workers.transcode; sys.exit('av' in sys.modules or 'imageio_ffmpeg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
