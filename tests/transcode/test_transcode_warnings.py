"""What a submitter is told of a source that became something else than might be expected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from test_transcode_plan import media

from workers.transcode.media import Media
from workers.transcode.outcome import warnings
from workers.transcode.plan import make_plan
from workers.transcode.quality_search import Aim
from workers.transcode.settings import TranscodeSettings
from workers.transcode.sound_codecs import PLAIN_SOUND, SoundCodec, SoundCoding

SETTINGS = TranscodeSettings()


def told(source: Media, settings: TranscodeSettings = SETTINGS, **rendition: Any) -> list[str]:
    return list(warnings(source, make_plan(source, settings), media(**rendition)))


def test_usual_source_needs_no_words() -> None:
    assert told(media()) == []


@pytest.mark.parametrize(("packets", "words"), [(248, []), (240, ["10 of the source's 250 pictures"])])
def test_pictures_that_are_missing_are_told_from_three_on(packets: int, words: list[str]) -> None:
    assert [each[: len(words[0])] for each in told(media(), packets=packets)] == words


def test_pictures_of_a_source_that_is_too_fast_are_not_missed() -> None:
    (warning,) = told(media(packets=1200, shown_pictures=1200), packets=600)
    assert warning == "the source has 120 pictures a second; 60 of them are kept"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"other_videos": 2}, "further video streams of the source, which are not used: 2"),
        ({"media_end": 19.0}, "goes on in other streams"),
        ({"container": "mpegts", "covered": 0.5}, "goes on in other streams"),
    ],
)
def test_what_is_left_out_is_told(change: dict[str, Any], words: str) -> None:
    (warning,) = told(media().model_copy(update=change))
    assert words in warning


@pytest.mark.parametrize(
    ("video", "words"),
    [
        ({"colour": (9, 9, 16, 1)}, "HDR is mapped"),
        ({"colour": (9, 9, 18, 1)}, "HDR is mapped"),
        ({"colour": (9, 9, 14, 1)}, "wider or coded in a rarer way, are mapped"),
        ({"restarts": (5.0,)}, "parts of the source whose clock starts anew, played one after another: 2"),
        ({"channels": 8}, "the 8 channels of the source's sound are folded to 2"),
    ],
)
def test_what_is_changed_is_told(video: dict[str, Any], words: str) -> None:
    (warning,) = told(media(**video))
    assert words in warning


def test_hdr_that_is_kept_is_told_as_such() -> None:
    (warning,) = told(media(colour=(9, 9, 16, 1)), TranscodeSettings(hdr="keep"))
    assert "JOBKIT_TRANSCODE_HDR=keep" in warning


@pytest.mark.parametrize(("score", "words"), [(93.1, []), (88.04, ["720p: VMAF came to 88.0 on samples, where 93 "])])
def test_score_that_is_not_reached_is_told(score: float, words: list[str]) -> None:
    plan = make_plan(media(), SETTINGS, ladder=(720,))
    aimed = replace(plan, rungs=(replace(plan.rungs[0], aim=Aim(93.0, 14, 38), vmaf=score),))
    assert [each[: len(words[0])] for each in warnings(media(), aimed, media())] == words


def test_sound_in_two_formats_is_no_sound_that_is_not_used() -> None:
    sounds = (PLAIN_SOUND, SoundCoding(SoundCodec.OPUS, 64_000))
    assert list(warnings(media(), make_plan(media(), SETTINGS, sounds=sounds), media())) == []
