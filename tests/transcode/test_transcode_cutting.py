"""Where renditions are cut, and at which times their units are written: arithmetic, on made-up units."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.transcode.cutting import Cut, Unit, cut_pictures, cut_sound

SECOND = 1000


def pictures(*groups: tuple[int, ...]) -> list[Unit]:
    """Return units in decoding order; the first of each group is a keyframe."""
    return [Unit(time, 40, 100, number == 0, 100 * time) for group in groups for number, time in enumerate(group)]


def spans(cuts: list[Cut]) -> list[tuple[int, int]]:
    return [(cut.start, cut.end) for cut in cuts]


def shown(cut: Cut) -> list[tuple[int, bool]]:
    return [(each.time, each.repeat) for each in cut.placed]


def test_segments_begin_at_the_first_keyframe_behind_each_boundary() -> None:
    cuts = cut_pictures(pictures((0, 40), (1000, 1040), (2040, 2080), (3000, 3040)), 0, 3080, SECOND)
    assert spans(cuts) == [(0, 1000), (1000, 2040), (2040, 3000), (3000, 3080)]


def test_keyframe_within_a_segment_begins_none() -> None:
    cuts = cut_pictures(pictures((0,), (300, 340), (1000, 1040)), 0, 1080, SECOND)
    assert spans(cuts) == [(0, 1000), (1000, 1080)]


def test_slide_is_repeated_where_segments_begin_and_the_next_one_keeps_its_time() -> None:
    cuts = cut_pictures(pictures((0,), (2500, 2540)), 0, 2580, SECOND)
    assert spans(cuts) == [(0, 1000), (1000, 2000), (2000, 2580)]
    assert [shown(cut) for cut in cuts] == [[(0, False)], [(1000, True)], [(2000, True), (2500, False), (2540, False)]]


def test_picture_that_others_refer_to_is_never_repeated() -> None:
    cuts = cut_pictures(pictures((0, 40), (3000, 3040)), 0, 3080, SECOND)
    assert spans(cuts) == [(0, 3000), (3000, 3080)]


def test_repeat_just_before_the_next_picture_is_left_out() -> None:
    assert spans(cut_pictures(pictures((0,), (1050, 1090)), 0, 1130, SECOND)) == [(0, 1050), (1050, 1130)]


def test_last_picture_is_held_to_the_end_of_the_sound() -> None:
    cuts = cut_pictures(pictures((0,)), 0, 3200, SECOND)
    assert spans(cuts) == [(0, 1000), (1000, 2000), (2000, 3000), (3000, 3200)]
    assert [each.duration for cut in cuts for each in cut.placed] == [1000, 1000, 1000, 200]


def test_first_picture_that_is_late_is_shown_from_the_beginning_and_at_its_time() -> None:
    (cut,) = cut_pictures(pictures((80, 120)), 0, 160, SECOND)
    assert shown(cut) == [(0, True), (80, False), (120, False)]


def test_video_that_begins_in_the_middle_of_things_is_refused() -> None:
    with pytest.raises(ValueError, match="does not begin with a keyframe"):
        cut_pictures([Unit(0, 40, 1, False, 0)], 0, 40, SECOND)


def test_sound_is_cut_where_a_packet_begins_next_to_each_boundary() -> None:
    units = [Unit(21 * number, 21, 10, True, 0) for number in range(100)]
    assert spans(cut_sound(units, [0, 1000, 2000])) == [(0, 1008), (1008, 1995), (1995, 2100)]


def test_sound_that_is_a_little_late_belongs_to_the_first_segment() -> None:
    (cut,) = cut_sound([Unit(50, 21, 10, True, 0)], [0])
    assert (cut.start, cut.end, cut.placed[0].time) == (0, 71, 50)


def test_sound_that_ends_early_has_fewer_segments() -> None:
    assert len(cut_sound([Unit(0, 21, 10, True, 0)], [0, 1000, 2000])) == 1


@st.composite
def videos(draw: st.DrawFn) -> list[Unit]:
    """Closed groups of pictures of any length and order, any distance apart."""
    time, groups = 0, []
    for count in draw(st.lists(st.integers(1, 12), min_size=1, max_size=12)):
        steps = draw(st.lists(st.integers(20, 4000), min_size=count, max_size=count))
        times = [time]
        for step in steps:
            times.append(times[-1] + step)
        time = times.pop()
        groups.append((times[0], *draw(st.permutations(times[1:]))))
    return pictures(*groups)


@given(videos(), st.integers(0, 5000))
def test_nothing_is_lost_nothing_overlaps_and_nothing_is_decoded_late(units: list[Unit], more: int) -> None:
    end = max(unit.time for unit in units) + 40 + more
    cuts = cut_pictures(units, 0, end, SECOND)
    assert (cuts[0].start, cuts[-1].end) == (0, end)
    assert all(earlier.end == later.start for earlier, later in pairwise(cuts))
    placed = [each for cut in cuts for each in cut.placed]
    assert [each.unit for each in placed if not each.repeat] == units
    assert all(each.time == each.unit.time for each in placed if not each.repeat)
    assert all(each.decode_time <= each.time and each.duration > 0 for each in placed)
    assert all(earlier.decode_time + earlier.duration == later.decode_time for earlier, later in pairwise(placed))
    for cut in cuts:
        assert cut.placed[0].unit.keyframe
        assert cut.placed[0].time == cut.placed[0].decode_time == cut.start
