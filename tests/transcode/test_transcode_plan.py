from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from jobkit import Reject
from workers.transcode import Transcode
from workers.transcode.media import AudioTrack, Media, VideoTrack
from workers.transcode.plan import encode_arguments, make_plan, package_arguments, poster_arguments
from workers.transcode.probe import SOURCE_FORMATS, usable_source
from workers.transcode.settings import TranscodeSettings

SETTINGS = TranscodeSettings(ladder=(720, 240))


def media(*, channels: int | None = 2, **video: Any) -> Media:
    track: dict[str, Any] = {
        "index": 0,
        "codec": "h264",
        "profile": None,
        "start": 0.0,
        "last": 9.96,
        "end": 10.0,
        "longest_gap": 0.04,
        "packets": 250,
        "keyframes": (),
        "sha256": "",
        "decoded": 1,
    }
    fields = {
        **track,
        "width": 1280,
        "height": 720,
        "pixel_aspect": (1, 1),
        "rotation": 0,
        "pixel_format": "yuv420p",
        "interlaced": False,
        **video,
    }
    audio = None
    if channels is not None:
        audio = AudioTrack(**{**track, "index": 1, "codec": "aac", "channels": channels, "sample_rate": 44100})
    return Media(container="mov", declared=10.0, end=10.0, video=VideoTrack(**fields), audio=audio)


def arguments(source: Media, **options: Any) -> list[str]:
    return encode_arguments(make_plan(source, SETTINGS, **options), SETTINGS, "file:/dev/fd/7")


def test_source_is_decoded_once_for_all_renditions() -> None:
    made = arguments(media())
    assert made.count("-i") == 1
    assert made.count("libx264") == 2
    assert "split=2[s0][s1]" in made[made.index("-filter_complex") + 1]


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
    assert made.count("expr:gte(t,n_forced*4)") == 2
    assert made[made.index("-sc_threshold") + 1] == "0"


def test_no_metadata_of_the_source_is_passed_on() -> None:
    assert arguments(media()).count("-map_metadata") == 2


def test_streams_are_those_that_the_probe_chose() -> None:
    made = arguments(media(index=3))
    assert made[made.index("-filter_complex") + 1].startswith("[0:3]")
    assert made.count("0:1") == 2


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


def test_ladder_of_the_job_wins() -> None:
    assert [rung.name for rung in make_plan(media(), SETTINGS, ladder=(480,)).rungs] == ["480p"]


@pytest.mark.parametrize(
    ("wanted", "at"), [(None, 1.0), (timedelta(0), 0.0), (timedelta(seconds=5), 5.0), (timedelta(hours=1), 9.95)]
)
def test_poster_is_taken_where_there_is_a_picture(wanted: timedelta | None, at: float) -> None:
    assert make_plan(media(), SETTINGS, poster_at=wanted).poster_at == pytest.approx(at)


def test_poster_of_a_single_picture_is_that_picture() -> None:
    assert make_plan(media(last=0.0, end=0.0, packets=1), SETTINGS).poster_at == 0.0


def test_packaging_encodes_nothing() -> None:
    made = package_arguments(make_plan(media(), SETTINGS), SETTINGS)
    assert made.count("copy") == 2
    assert "libx264" not in made


def test_every_file_is_named_so_that_it_cannot_be_an_option_or_a_protocol() -> None:
    plan = make_plan(media(), SETTINGS)
    made = [*arguments(media()), *poster_arguments(plan)]
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
