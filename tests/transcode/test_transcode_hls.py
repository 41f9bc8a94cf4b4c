from __future__ import annotations

import pytest

from workers.transcode.hls import (
    Alternative,
    ByteRange,
    KeyPictures,
    Master,
    MediaPlaylist,
    Segment,
    SegmentKey,
    Variant,
    bandwidths,
    codecs,
    iframes_playlist,
    master_playlist,
    media_playlist,
    parse_byte_ranges,
    parse_master_playlist,
    parse_media_playlist,
)
from workers.transcode.ladder import Size
from workers.transcode.sound_codecs import SoundCodec

MEDIA = """#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-MAP:URI="init.mp4"
#EXTINF:4.000000,
00000.m4s
#EXTINF:1.500000,
00001.m4s
#EXT-X-ENDLIST
"""

MASTER = Master(
    variants=(
        Variant("720p/index.m3u8", 3_000_000, 2_500_000, "avc1.64001F,mp4a.40.2", Size(1280, 720), 29.97, "sound"),
        Variant("240p/index.m3u8", 400_000, 300_000, "avc1.640015", Size(426, 240), 25.0, None),
        Variant("audio/index.m3u8", 170_000, 160_000, "mp4a.40.2", None, None, "sound"),
    ),
    key_pictures=(KeyPictures("720p/iframes.m3u8", 90_000, "avc1.64001F", Size(1280, 720)),),
    alternatives=(
        Alternative("AUDIO", "sound", "Sound", "audio/index.m3u8", None, 2, default=True),
        Alternative("SUBTITLES", "text", "English", "text-1/index.m3u8", "en", forced=True),
    ),
)


def test_media_playlist_names_every_file_it_needs() -> None:
    playlist = parse_media_playlist(MEDIA)
    assert playlist.files() == ("init.mp4", "00000.m4s", "00001.m4s")
    assert playlist.duration == 5.5


@pytest.mark.parametrize("missing", ["#EXT-X-ENDLIST", "#EXT-X-MAP", "#EXT-X-TARGETDURATION", "#EXTINF", "#EXTM3U"])
def test_incomplete_media_playlist_is_an_error(missing: str) -> None:
    text = "\n".join(line for line in MEDIA.splitlines() if not line.startswith(missing))
    with pytest.raises(ValueError, match=r"playlist|segment"):
        parse_media_playlist(text)


def test_master_playlist_says_when_read_what_was_written() -> None:
    assert parse_master_playlist(master_playlist(MASTER)) == MASTER


def test_master_playlist_is_as_rfc_8216_writes_it() -> None:
    assert master_playlist(MASTER).splitlines()[3:7] == [
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="Sound",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",'
        'URI="audio/index.m3u8"',
        '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="text",NAME="English",LANGUAGE="en",DEFAULT=NO,AUTOSELECT=YES,'
        'FORCED=YES,URI="text-1/index.m3u8"',
        "#EXT-X-STREAM-INF:BANDWIDTH=3000000,AVERAGE-BANDWIDTH=2500000,"
        'CODECS="avc1.64001F,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=29.970,VIDEO-RANGE=SDR,'
        'CLOSED-CAPTIONS=NONE,AUDIO="sound",SUBTITLES="text"',
        "720p/index.m3u8",
    ]


def test_media_playlist_says_when_read_what_was_written() -> None:
    segments = (Segment(4.0, "00000.m4s"), Segment(5.5, "00001.m4s"))
    assert parse_media_playlist(media_playlist(segments)) == MediaPlaylist(6, "init.mp4", segments)


def test_key_that_stays_is_named_once() -> None:
    keys = [SegmentKey(uri, None, "SAMPLE-AES", bytes([1, 2])) for uri in ("k1", "k1", "k2")]
    segments = tuple(Segment(4.0, f"{number}.m4s", key) for number, key in enumerate(keys))
    text = media_playlist(segments)
    assert text.count("#EXT-X-KEY:METHOD=SAMPLE-AES,") == 2
    assert parse_media_playlist(text).segments == segments


def test_playlist_of_pictures_names_the_bytes_of_each() -> None:
    ranges = (ByteRange(881, 24), ByteRange(206, 24))
    text = iframes_playlist((Segment(4.0, "00000.m4s"), Segment(4.0, "00001.m4s")), ranges)
    assert parse_byte_ranges(text) == ranges
    assert "#EXT-X-I-FRAMES-ONLY" in text


@pytest.mark.parametrize(("seconds", "target"), [(0.04, 1), (4.4, 4), (4.5, 5), (6.0, 6)])
def test_target_duration_is_that_of_the_longest_segment_rounded(seconds: float, target: int) -> None:
    assert parse_media_playlist(media_playlist([Segment(seconds, "00000.m4s")])).target == target


def test_variant_without_attributes_is_an_error() -> None:
    with pytest.raises(ValueError, match="STREAM-INF"):
        parse_master_playlist("#EXTM3U\n720p/index.m3u8\n")


def test_empty_master_playlist_is_an_error() -> None:
    with pytest.raises(ValueError, match="no variants"):
        parse_master_playlist("#EXTM3U\n")


def playlist(*durations: float, target: float = 4) -> MediaPlaylist:
    return MediaPlaylist(target, "init.mp4", tuple(Segment(each, f"{n}.m4s") for n, each in enumerate(durations)))


def test_bandwidth_is_the_peak_and_not_the_average() -> None:
    assert bandwidths(playlist(4, 4, 4), [1000, 4000, 1000]) == (8000, 4000)


def test_a_short_last_segment_does_not_make_the_peak() -> None:
    # 100 bytes in 10 ms would be 80,000 bits per second; a player never has to fetch at that rate.
    peak, _ = bandwidths(playlist(4, 4, 0.01), [1000, 1000, 100])
    assert peak < 2300


def test_bandwidth_of_a_single_short_segment_is_its_own() -> None:
    assert bandwidths(playlist(0.04, target=1), [8350]) == (1_670_000, 1_670_000)


def test_read_backs_name_sound_only_where_there_is_some() -> None:
    assert codecs("avc1.64001F", SoundCodec.AAC) == "avc1.64001F,mp4a.40.2"
    assert codecs("avc1.64001F", SoundCodec.OPUS) == "avc1.64001F,opus"
    assert codecs("avc1.64001F", None) == "avc1.64001F"
