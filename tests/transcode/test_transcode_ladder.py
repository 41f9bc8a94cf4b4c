from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workers.transcode.ladder import DEFAULT_LADDER, Size, checked_ladder, choose_rungs, max_bitrate, shown_size

sides = st.integers(1, 8192)


def sizes(source: Size, ladder: tuple[int, ...] = DEFAULT_LADDER) -> dict[str, tuple[int, int]]:
    return {rung.name: (rung.size.width, rung.size.height) for rung in choose_rungs(source, ladder, 30)}


def test_full_hd_gets_the_whole_ladder() -> None:
    assert sizes(Size(1920, 1080)) == {
        "1080p": (1920, 1080),
        "720p": (1280, 720),
        "480p": (854, 480),
        "360p": (640, 360),
        "240p": (426, 240),
    }


def test_portrait_is_measured_by_its_width() -> None:
    assert sizes(Size(720, 1280)) == {"720p": (720, 1280), "480p": (480, 854), "360p": (360, 640), "240p": (240, 426)}


def test_rungs_above_the_source_are_left_out() -> None:
    assert list(sizes(Size(1600, 900))) == ["900p", "720p", "480p", "360p", "240p"]


def test_source_between_two_rungs_loses_its_own_size_where_that_is_set() -> None:
    assert choose_rungs(Size(1600, 900), DEFAULT_LADDER, 30, keep_size=False)[0].name == "720p"


def test_rung_that_is_nearly_as_large_as_the_source_is_left_out() -> None:
    assert list(sizes(Size(1280, 750))) == ["750p", "480p", "360p", "240p"]


def test_source_below_the_ladder_keeps_its_own_size_made_even() -> None:
    assert sizes(Size(321, 181)) == {"180p": (320, 180)}


def test_single_pixel_becomes_the_smallest_even_picture() -> None:
    assert sizes(Size(1, 1)) == {"2p": (2, 2)}


def test_odd_long_side_is_rounded_down_not_up() -> None:
    assert sizes(Size(1923, 1080), (1080,)) == {"1080p": (1922, 1080)}


@given(sides, sides)
@example(1923, 1080)
def test_nothing_is_ever_larger_than_its_source_or_odd(width: int, height: int) -> None:
    source = Size(width, height)
    for rung in choose_rungs(source, DEFAULT_LADDER, 30):
        assert rung.size.width % 2 == 0
        assert rung.size.height % 2 == 0
        assert rung.size.width <= max(2, width)
        assert rung.size.height <= max(2, height)


@given(st.integers(240, 8192), st.integers(240, 8192))
def test_shape_is_kept_to_within_a_pixel_of_rounding(width: int, height: int) -> None:
    source = Size(width, height)
    for rung in choose_rungs(source, DEFAULT_LADDER, 30, keep_size=False):
        exact = source.long * rung.size.short / source.short
        assert abs(rung.size.long - exact) <= 2


@given(sides, sides)
def test_two_sources_of_one_size_get_the_same_renditions(width: int, height: int) -> None:
    assert choose_rungs(Size(width, height), DEFAULT_LADDER, 30) == choose_rungs(
        Size(width, height), DEFAULT_LADDER, 30
    )


def test_wide_pixels_widen_the_picture() -> None:
    assert shown_size(720, 576, Fraction(64, 45), 0) == Size(1024, 576)


def test_a_quarter_turn_swaps_the_sides() -> None:
    assert shown_size(1920, 1080, Fraction(1), 90) == Size(1080, 1920)
    assert shown_size(1920, 1080, Fraction(1), 270) == Size(1080, 1920)
    assert shown_size(1920, 1080, Fraction(1), 180) == Size(1920, 1080)


def test_bitrates_fall_with_the_size_and_rise_with_the_frame_rate() -> None:
    rates = [rung.max_bitrate for rung in choose_rungs(Size(1920, 1080), DEFAULT_LADDER, 30)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 5_000_000
    assert rates[-1] > 400_000
    assert max_bitrate(Size(1920, 1080), 60) == 7_500_000


def test_a_ladder_is_sorted_and_without_doubles() -> None:
    assert checked_ladder((240, 720, 240)) == (720, 240)


@pytest.mark.parametrize("rungs", [(), (721,), (0,), (-240,), (100_000,), tuple(range(100, 130, 2))])
def test_what_is_no_ladder_is_refused(rungs: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="rung"):
        checked_ladder(rungs)
