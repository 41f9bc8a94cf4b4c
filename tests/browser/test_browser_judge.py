"""The judge of what players show can fail: each thing that may go wrong is told, and nothing where all is right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.browser.judge import Played, Shown, playing_problems, seeking_problems
from tests.media.sources import SOURCES

SOURCE = SOURCES["slides"]
RIGHT = Played(
    errors=(),
    flashes=(7.0, 21.0),
    beeps=(7.001, 21.001),
    jumps=(),
    buffered=((0.0, 24.0),),
    duration=24.0,
    ended_at=24.0,
    size=(320, 180),
)


def test_right_playback_has_no_problems() -> None:
    assert playing_problems(RIGHT, SOURCE) == []
    later = replace(RIGHT, flashes=(7.06, 21.06), beeps=(7.07, 21.07), buffered=((0.06, 24.06),))
    assert playing_problems(later, SOURCE) == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"errors": ["hls.js: bufferStalledError"]}, "bufferStalledError"),
        ({"jumps": ["from 3.000 to 12.000 in 0.016 s"]}, "left something out: from 3.000"),
        ({"flashes": (7.0,)}, "no flash at 21.000 s"),
        ({"flashes": (7.0, 14.0, 21.0)}, "3 of flash, not 2"),
        ({"flashes": (7.2, 21.2), "beeps": (7.2, 21.2)}, "no flash at 7.000 s"),
        ({"beeps": ()}, "no beep at 7.000 s, but at none"),
        ({"beeps": (6.95, 20.95)}, "beeps come -50.0 ms after"),
        ({"beeps": (7.05, 21.05)}, "beeps come +50.0 ms after"),
        ({"buffered": ((0.0, 7.0), (16.0, 24.0))}, "holes: of 24.000 s it holds 0.000 to 7.000 s, 16.000"),
        ({"buffered": ((3.0, 24.0),)}, "holes"),
        ({"buffered": ((0.0, 22.0),)}, "holes"),
        ({"buffered": ()}, "holes"),
        ({"duration": 28.0, "ended_at": 28.0}, "lasts 28.000 s, not 24.000 s"),
        ({"ended_at": 20.0}, "ended at 20.000 s of 24.000 s"),
        ({"size": (180, 320)}, "which is turned"),
    ],
)
def test_what_is_wrong_is_told(wrong: dict[str, Any], told: str) -> None:
    assert told in "\n".join(playing_problems(replace(RIGHT, **wrong), SOURCE))


@pytest.mark.parametrize("picture", [7.0, 7.05, 8.0, 10.0])
def test_picture_of_that_time_or_its_repetition_is_right(picture: float) -> None:
    assert seeking_problems(Shown(picture, 255), 10.0, SOURCE) == []


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        (Shown(0.0, 255), "the picture of 0.000 s is shown, not that of 7.000 s"),
        (Shown(14.0, 255), "the picture of 14.000 s is shown"),
        (Shown(7.0, 0), "wrong brightness of 0"),
    ],
)
def test_other_picture_is_told(shown: Shown, told: str) -> None:
    assert told in "\n".join(seeking_problems(shown, 10.0, SOURCE))
