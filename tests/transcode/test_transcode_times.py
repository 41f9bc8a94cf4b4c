"""Times that the plugin gives: how long a picture is shown, and where a recording begins that follows another one."""

from __future__ import annotations

import pytest
from test_transcode_plan import arguments, media

from workers.transcode.filters import SoundChain, sound_filters
from workers.transcode.probe_track import Parts

TICKS = 90_000
USUAL = 3600


def shown_ticks(pts: int, duration: int, **video: float) -> int:
    """Return how long ffmpeg is told to show a picture of a video of 10 s, by the expression that it is given."""
    made = arguments(media(channels=None, **video))
    words = made[made.index("-bsf:v") + 1].rpartition("duration=")[2].replace("\\", "")
    words = words.replace("if(", "chosen(").replace("gte(", "at_least(")
    names = {
        "chosen": lambda condition, then, otherwise: then if condition else otherwise,
        "at_least": lambda a, b: a >= b,
        "min": min,
        "max": max,
        "PTS": pts,
        "DURATION": duration,
    }
    return int(eval(words, {"__builtins__": {}}, names))  # noqa: S307  (our own words)


@pytest.mark.parametrize(
    ("pts", "duration", "wanted"),
    [
        (0, USUAL, USUAL),
        (0, 7 * TICKS, 7 * TICKS),
        # Filters that lose how long a picture is shown say nothing, or a few ticks: it is shown as long as others are.
        (9 * TICKS, 0, USUAL),
        (9 * TICKS, 3, USUAL),
        # None is shown beyond the end, but every one for as long as the shortest.
        (9 * TICKS, 5 * TICKS, TICKS),
        (10 * TICKS - 10, 5 * TICKS, USUAL),
        (11 * TICKS, USUAL, USUAL),
    ],
)
def test_picture_is_shown_as_long_as_others_where_it_is_not_told(pts: int, duration: int, wanted: int) -> None:
    assert shown_ticks(pts, duration) == wanted


def test_last_picture_of_a_slow_video_is_shown_as_long_as_others() -> None:
    assert shown_ticks(8 * TICKS, 0, packets=5, highest_rate=0.5) == 2 * TICKS
    assert shown_ticks(9 * TICKS, 0, packets=5, highest_rate=0.5) == TICKS


def test_last_picture_of_a_fast_video_is_shown_as_long_as_others() -> None:
    assert shown_ticks(9 * TICKS, 0, packets=600, highest_rate=60.0) == TICKS // 60


def test_tracks_go_on_together_behind_the_longest_of_them() -> None:
    parts = Parts()
    parts.reach(5.00)
    parts.reach(5.04)
    assert parts.next(0, 0.0) == (1, 5.04)
    # The other track comes to the same part, whatever has been reached meanwhile, and whatever its own clock says.
    parts.reach(5.10)
    assert parts.next(0, 0.02) == (1, 5.04)
    parts.reach(10.5)
    assert parts.next(1, 0.5) == (2, 10.0)


def test_track_that_a_recording_lacks_joins_the_next_one() -> None:
    parts = Parts()
    parts.reach(5.0)
    parts.next(0, 0.0)
    parts.reach(9.0)
    assert parts.next(1, 0.0) == (2, 9.0)
    assert parts.next(0, 0.0) == (2, 9.0)


def test_smaller_holes_are_filled_between_recordings_than_within_one() -> None:
    def chain(*restarts: float, joined: bool = False) -> str:
        plan = SoundChain(2, folded=False, filled=True, until=None, restarts=restarts, loudness=None, joined=joined)
        return sound_filters(plan)

    assert "min_hard_comp" not in chain()
    assert "min_hard_comp" in chain(joined=True)
    assert "min_hard_comp" in chain(5.0)
    assert "gte(ld(1),1)*5.000000+gte(ld(1),2)*4.500000)/TB" in chain(5.0, 9.5)
