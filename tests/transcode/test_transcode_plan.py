from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from jobkit import Reject
from workers.transcode import Transcode
from workers.transcode.arguments import encode_arguments, keyframes, poster_arguments
from workers.transcode.languages import distinct_names, playlist_language
from workers.transcode.media import AudioTrack, Media, OtherSound, Text, VideoTrack
from workers.transcode.plan import make_plan
from workers.transcode.probe import SOURCE_FORMATS, usable_source
from workers.transcode.settings import TranscodeSettings
from workers.transcode.sound_codecs import PLAIN_SOUND, SoundCodec, SoundCoding

SETTINGS = TranscodeSettings(ladder=(720, 240))


def media(*, channels: int | None = 2, **video: Any) -> Media:
    track: dict[str, Any] = {
        "index": 0,
        "codec": "h264",
        "start": 0.0,
        "last": 9.96,
        "end": 10.0,
        "longest_gap": 0.04,
        "packets": 250,
        "keyframes": (),
        "restarts": (),
        "decoded": 1,
    }
    fields = {
        **track,
        "told": None,
        "width": 1280,
        "height": 720,
        "pixel_aspect": (1, 1),
        "rotation": 0,
        "pixel_format": "yuv420p",
        "interlaced": False,
        "colour": (1, 1, 1, 1),
        "shown_pictures": 250,
        "pauses": (),
        "highest_rate": 25.0,
        **video,
    }
    audio = None
    if channels is not None:
        audio = AudioTrack(
            **{
                **track,
                "index": 1,
                "codec": "aac",
                "profile": None,
                "language": None,
                "channels": channels,
                "sample_rate": 44100,
            }
        )
    return Media(
        container="mov",
        origin=0.0,
        covered=1.0,
        declared=10.0,
        end=10.0,
        media_end=10.0,
        video=VideoTrack(**fields),
        audio=audio,
        other_videos=0,
        other_sounds=(),
        texts=(),
        package_problems=(),
    )


def arguments(source: Media, **options: Any) -> list[str]:
    return encode_arguments(make_plan(source, SETTINGS, **options), SETTINGS, "file:/dev/fd/7")


def test_source_is_decoded_once_for_all_renditions() -> None:
    made = arguments(media())
    assert made.count("-i") == 1
    assert made.count("libx264") == 2
    assert "split=2[s0][s1]" in made[made.index("-filter_complex") + 1]


def test_each_decoded_stream_goes_into_one_graph() -> None:
    """ffmpeg 9 may leave all but the first graph of a stream waiting for ever."""
    other = OtherSound(index=2, language="fr", channels=2, start=0.0, end=10.0, restarts=())
    made = arguments(media().model_copy(update={"other_sounds": (other,)}))
    both = (PLAIN_SOUND, SoundCoding(SoundCodec.OPUS, 64_000))
    more = arguments(media().model_copy(update={"other_sounds": (other,)}), sounds=both)
    graphs = [made[at + 1] for at, word in enumerate(made) if word == "-filter_complex"]
    assert [re.findall(r"\[0:\d+\]", graph) for graph in graphs] == [["[0:0]"], ["[0:1]"], ["[0:2]"]]
    assert "asplit=2[a0][a1]" in graphs[1]
    assert [graph for graph in more if "[0:1]" in graph] == [
        f"{graphs[1].partition(',asplit')[0]},asplit=3[a0][a1][o1s];[o1s]atrim=start_pts=312[o1]"
    ]
    assert "asplit=2[o0][o2s]" in next(graph for graph in more if "[0:2]" in graph)
    mapped = [made[at + 1] for at, word in enumerate(made) if word == "-map"]
    assert mapped == ["[v0]", "[a0]", "[v1]", "[a1]", "[o0]"]


def test_source_may_open_nothing_but_files_of_the_listed_formats() -> None:
    made = arguments(media())
    before_input = made[: made.index("-i")]
    assert before_input[before_input.index("-protocol_whitelist") + 1] == "file"
    assert before_input[before_input.index("-format_whitelist") + 1] == SOURCE_FORMATS


def test_picture_that_no_encoder_takes_is_rejected() -> None:
    assert usable_source(media(pixel_aspect=(12, 1)), SETTINGS).video.shown.width == 15360
    with pytest.raises(Reject, match="16384"):
        usable_source(media(pixel_aspect=(13, 1)), SETTINGS)


@pytest.mark.parametrize("playlist", ["hls", "dash", "concat", "image2", "lavfi", "sdp", "rtsp", "imf", "vobsub"])
def test_formats_that_name_other_files_are_not_listed(playlist: str) -> None:
    assert playlist not in SOURCE_FORMATS.split(",")


def test_keyframes_are_forced_at_the_same_times_everywhere_and_nowhere_else() -> None:
    made = arguments(media())
    forced = "expr:isnan(prev_forced_t)+gt(floor(t/4+1e-6),floor(prev_forced_t/4+1e-6))"
    assert made.count(forced) == 2
    assert made[made.index("-sc_threshold") + 1] == "0"


def test_picture_that_is_held_for_long_is_a_keyframe() -> None:
    plan = make_plan(media(pauses=((1.0, 1.9), (3.0, 2.1))), SETTINGS)
    assert plan.held == (3.0,)
    assert keyframes(plan, SETTINGS).endswith("+between(t,2.970,3.030)")


def test_last_picture_is_held_until_the_sound_ends() -> None:
    assert make_plan(media(last=2.0, end=2.04), SETTINGS).held == (2.0,)
    assert make_plan(media(last=2.0, end=2.04, channels=None), SETTINGS).held == ()


def test_no_metadata_of_the_source_is_passed_on() -> None:
    assert arguments(media()).count("-map_metadata") == 2


def test_streams_are_those_that_the_probe_chose() -> None:
    made = arguments(media(index=3))
    assert made[made.index("-filter_complex") + 1].startswith("[0:3]")
    assert "[0:1]" in " ".join(made)


def test_source_without_sound_gets_no_sound() -> None:
    assert "aac" not in arguments(media(channels=None))


@pytest.mark.parametrize(("channels", "kept"), [(1, "1"), (2, "2"), (6, "2"), (0, "1")])
def test_sound_has_at_most_two_channels(channels: int, kept: str) -> None:
    made = arguments(media(channels=channels))
    assert made[made.index("-ac") + 1] == kept


def test_too_fast_a_source_loses_frames_and_a_little_too_fast_one_does_not() -> None:
    assert "fps=60" in " ".join(arguments(media(packets=1200)))
    assert "fps=" not in " ".join(arguments(media(packets=601)))


def test_interlaced_pictures_are_joined() -> None:
    assert "bwdif" in " ".join(arguments(media(interlaced=True)))
    assert "bwdif" not in " ".join(arguments(media()))


def test_fields_become_pictures_where_that_is_set() -> None:
    settings = TranscodeSettings(deinterlace="field")
    plan = make_plan(media(interlaced=True), settings)
    assert "bwdif=mode=send_field" in " ".join(encode_arguments(plan, settings, "file:x"))


@pytest.mark.parametrize(
    ("width", "height", "matrix"), [(1280, 720, "bt709"), (1280, 544, "bt709"), (720, 576, "bt601")]
)
def test_untagged_colours_are_read_by_the_size_of_the_picture(width: int, height: int, matrix: str) -> None:
    made = " ".join(arguments(media(width=width, height=height, colour=(2, 2, 2, 0))))
    assert f"in_color_matrix={matrix}:out_color_matrix=bt709:out_range=limited" in made


def test_every_output_says_that_it_is_bt709_of_limited_range() -> None:
    made = arguments(media())
    assert made.count("-colorspace") == made.count("-color_range") == 2
    assert " ".join(made).count("setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709") == 2


@pytest.mark.parametrize(("setting", "mapped"), [("map", True), ("keep", False)])
def test_hdr_is_mapped_unless_it_is_to_be_kept(setting: str, mapped: bool) -> None:
    settings = TranscodeSettings.model_validate({"hdr": setting})
    plan = make_plan(media(colour=(9, 9, 16, 1)), settings)
    assert ("tonemap" in " ".join(encode_arguments(plan, settings, "file:x"))) == mapped


def test_more_channels_than_two_are_limited_when_they_are_folded() -> None:
    assert "alimiter" in " ".join(arguments(media(channels=8)))
    assert "alimiter" not in " ".join(arguments(media(channels=2)))


def test_loudness_is_changed_only_where_that_is_set() -> None:
    settings = TranscodeSettings(loudness=-16)
    assert "loudnorm=I=-16" in " ".join(encode_arguments(make_plan(media(), settings), settings, "file:x"))
    assert "loudnorm" not in " ".join(arguments(media()))


def test_sounds_and_texts_beside_the_video_are_made_once_each() -> None:
    sounds = [
        OtherSound(index=number, language="ger", channels=6, start=0.0, end=10.0, restarts=()) for number in (2, 3)
    ]
    texts = [Text(index=4, language="eng", default=False, forced=True)]
    source = media().model_copy(update={"other_sounds": tuple(sounds), "texts": tuple(texts)})
    plan = make_plan(source, SETTINGS)
    assert [(each.language, each.file, each.folder) for each in plan.other_sounds] == [
        ("de", "sound-2.mp4", "hls/audio-2"),
        ("de", "sound-3.mp4", "hls/audio-3"),
    ]
    assert [(each.language, each.forced, each.folder) for each in plan.texts] == [("en", True, "hls/text-1")]
    made = arguments(source)
    assert made.count("[o0]") == made.count("0:4") == 1
    assert make_plan(source, SETTINGS, hls=False).other_sounds == ()


@pytest.mark.parametrize(
    ("code", "language"),
    [("ger", "de"), ("deu", "de"), ("gsw", "gsw"), ("en", "en"), ("und", None), (None, None), ("x'", None)],
)
def test_languages_are_written_as_playlists_have_them(code: str | None, language: str | None) -> None:
    assert playlist_language(code) == language


def test_tracks_of_one_language_have_names_that_differ() -> None:
    assert distinct_names(["de", "en", "de", None, None], "Sound") == ["de", "en", "de 2", "Sound", "Sound 2"]


def test_what_begins_late_is_filled_from_the_beginning() -> None:
    late = make_plan(media(start=3.0), SETTINGS)
    assert late.picture.lead
    assert late.pictures == 251
    assert not make_plan(media(start=0.1), SETTINGS).picture.lead


def test_ladder_of_the_job_wins() -> None:
    assert [rung.name for rung in make_plan(media(), SETTINGS, ladder=(480,)).rungs] == ["480p"]


@pytest.mark.parametrize(
    ("wanted", "at"), [(timedelta(0), 0.0), (timedelta(seconds=5), 5.0), (timedelta(hours=1), 9.95)]
)
def test_poster_is_taken_where_there_is_a_picture(wanted: timedelta, at: float) -> None:
    assert make_plan(media(), SETTINGS, poster_at=wanted).poster_times == pytest.approx((at,))


def test_poster_has_candidates_all_over_the_video() -> None:
    assert make_plan(media(), SETTINGS).poster_times == (1.0, 2.5, 4.0, 6.0, 8.0)


def test_poster_of_a_single_picture_is_that_picture() -> None:
    assert make_plan(media(last=0.0, end=0.0, packets=1), SETTINGS).poster_times == (0.0,)


def test_every_file_is_named_so_that_it_cannot_be_an_option_or_a_protocol() -> None:
    plan = make_plan(media(), SETTINGS)
    made = [*arguments(media()), *poster_arguments(plan.rungs[0], {"poster.jpg": 1.0})]
    assert [each for each in made if each.endswith((".mp4", ".jpg"))] == [
        "file:720p.mp4",
        "file:240p.mp4",
        "file:720p.mp4",
        "file:poster.jpg",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"ladder": (721,)},
        {"ladder": ()},
        {"poster_at": -1},
        {"video_id": ""},
        {"source": ""},
        {"source": "x" * 5000},
        {"bitrate": 5},
    ],
)
def test_payload_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Transcode.model_validate({"video_id": "v", "source": "a.mp4", **wrong})


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_TRANSCODE_SOURCE_ROOTS", "/srv/a,/srv/b:/srv/c")
    monkeypatch.setenv("JOBKIT_TRANSCODE_LADDER", "240, 720")
    settings = TranscodeSettings()
    assert [str(root) for root in settings.source_roots] == ["/srv/a", "/srv/b", "/srv/c"]
    assert settings.ladder == (720, 240)


@pytest.mark.parametrize(("name", "value"), [("LADDER", "721"), ("CRF", "99"), ("PRESET", "quick"), ("TIMEOUT", "0")])
def test_setting_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"JOBKIT_TRANSCODE_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        TranscodeSettings()


def test_documentation_has_every_setting_with_its_default_and_every_field() -> None:
    page = (Path(__file__).parents[2] / "docs" / "transcode.md").read_text()
    for name, field in TranscodeSettings.model_fields.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `JOBKIT_TRANSCODE_{name.upper()}` |")]
        default = field.default
        if default in ((), None):
            continue
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        assert f"| `{shown:g}` |" in row if isinstance(shown, float) else f"| `{shown}` |" in row
    for name in Transcode.model_fields:
        assert f"| `{name}` |" in page
