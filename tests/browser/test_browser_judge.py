"""The judge of what players show can fail: each thing that may go wrong is told, and nothing where all is right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.browser.judge import (
    Played,
    Shown,
    change_problems,
    first_white,
    playing_problems,
    seeking_problems,
    sync_problems,
)
from tests.media.sources import SOURCES

SOURCE = SOURCES["slides"]
RIGHT = Played(
    errors=(),
    pictures=(Shown(0.0, 0), Shown(7.0, 255), Shown(8.0, 255), Shown(14.0, 0), Shown(21.0, 255)),
    beeps=(7.001, 21.001),
    jumps=(),
    buffered=((0.0, 24.0),),
    duration=24.0,
    ended_at=24.0,
    size=(320, 180),
)


def test_right_playback_has_no_problems() -> None:
    assert playing_problems(RIGHT, SOURCE) == []
    later = replace(RIGHT, pictures=(Shown(7.04, 255),), beeps=(7.05, 21.05), buffered=((0.04, 24.04),))
    assert playing_problems(later, SOURCE) == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"errors": ["hls.js: bufferStalledError"]}, "bufferStalledError"),
        ({"jumps": ["from 3.000 to 12.000 in 0.016 s"]}, "left something out: from 3.000"),
        ({"pictures": ()}, "no picture was shown"),
        ({"pictures": (Shown(7.0, 255), Shown(16.0, 255))}, "the picture of 16.000 s has the wrong brightness of 255"),
        ({"pictures": (Shown(10.0, 0),)}, "the picture of 10.000 s has the wrong brightness of 0"),
        ({"beeps": (7.2, 21.2)}, "no beep at 7.000 s, but at 7.200/21.200"),
        ({"beeps": (7.0, 14.0, 21.0)}, "3 beeps, not 2"),
        ({"beeps": ()}, "no beep at 7.000 s, but at none"),
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


@pytest.mark.parametrize(("beep", "told"), [(6.95, "-50.0 ms after"), (7.05, "+50.0 ms after"), (7.019, "")])
def test_sound_and_picture_apart_are_told(beep: float, told: str) -> None:
    problems = "\n".join(sync_problems([beep, 21.0], {7.0: Shown(7.0, 255), 21.0: Shown(21.0, 255)}, SOURCE))
    assert told in problems
    assert bool(problems) == bool(told)


def test_flash_that_was_not_found_is_told() -> None:
    assert sync_problems([7.0, 21.0], {7.0: Shown(7.0, 255), 21.0: None}, SOURCE) == [
        "there is no flash about 21.000 s"
    ]


FLASHING = SOURCES["constant"]


@pytest.mark.parametrize(
    ("pictures", "begins"),
    [
        # The flash of 1.6 s: dark at 1.56, white at 1.6 and 1.64, at 25 pictures a second.
        ([(1.56, 0), (1.6, 255), (1.64, 255)], 1.6),
        # Pictures of a replay come behind those that were played before.
        ([(1.64, 255), (1.68, 0), (1.56, 0), (1.6, 255)], 1.6),
        # What is early is told as it is.
        ([(1.52, 0), (1.56, 255), (1.6, 255)], 1.56),
        # The one before it was not shown, or was not dark: nobody knows whether the flash began there.
        ([(1.52, 0), (1.6, 255)], None),
        ([(1.56, 0), (1.64, 255)], None),
        ([(1.6, 0), (1.64, 0)], None),
        # Another flash is none of this time.
        ([(2.56, 0), (2.6, 255)], None),
        ([], None),
    ],
)
def test_flash_begins_with_the_first_white_picture_behind_a_dark_one(
    pictures: list[tuple[float, float]], begins: float | None
) -> None:
    first = first_white([Shown(*picture) for picture in pictures], 1.6, FLASHING)
    assert (first.time if first else None) == begins


def test_changed_playback_may_lack_what_was_thrown_away() -> None:
    changed = replace(RIGHT, buffered=((7.0, 24.0),), beeps=(21.0,))
    assert change_problems(changed, SOURCE) == []
    assert change_problems(replace(changed, ended_at=9.0), SOURCE) == ["it ended at 9.000 s of 24.000 s"]


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
