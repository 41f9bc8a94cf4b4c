"""When schedules tick: across daylight saving both ways, with jitter, and as far back as anybody asks."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobkit.model.ticks import Timing, tick_id

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo | None = None) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone or UTC).timestamp()


def ticks(timing: Timing, after: float, count: int) -> list[str]:
    found = []
    moment: float | None = after
    for _ in range(count):
        assert moment is not None
        moment = timing.after(moment)
        assert moment is not None
        found.append(f"{datetime.fromtimestamp(moment, UTC):%m-%d %H:%M}")
    return found


def test_a_time_of_day_follows_its_zone() -> None:
    nightly = Timing(cron="0 3 * * *", zone="Europe/Berlin")
    assert ticks(nightly, at("2026-03-27T12:00"), 3) == ["03-28 02:00", "03-29 01:00", "03-30 01:00"]
    assert ticks(nightly, at("2026-10-23T12:00"), 3) == ["10-24 01:00", "10-25 02:00", "10-26 02:00"]


def test_a_time_that_does_not_exist_comes_at_the_end_of_the_gap_once() -> None:
    inside = Timing(cron="30 2 * * *", zone="Europe/Berlin")
    assert ticks(inside, at("2026-03-28T12:00"), 2) == ["03-29 01:00", "03-30 00:30"]


def test_a_time_that_is_there_twice_comes_at_its_first_only() -> None:
    inside = Timing(cron="30 2 * * *", zone="Europe/Berlin")
    assert ticks(inside, at("2026-10-24T12:00"), 2) == ["10-25 00:30", "10-26 01:30"]


def test_what_repeats_by_the_hour_goes_on_as_time_does() -> None:
    hourly = Timing(cron="30 * * * *", zone="Europe/Berlin")
    assert ticks(hourly, at("2026-10-24T23:00"), 4) == ["10-24 23:30", "10-25 00:30", "10-25 01:30", "10-25 02:30"]
    assert ticks(hourly, at("2026-03-29T00:00"), 3) == ["03-29 00:30", "03-29 01:30", "03-29 02:30"]


def test_an_interval_is_counted_from_one_moment_for_all() -> None:
    every = Timing(every=900)
    assert every.after(at("2026-01-01T00:00")) == at("2026-01-01T00:15")
    assert every.after(at("2026-01-01T00:14:59")) == at("2026-01-01T00:15")
    found = every.latest(after=at("2026-01-01T00:00"), upto=at("2026-01-01T01:07"), limit=3)
    assert found == [at("2026-01-01T00:30"), at("2026-01-01T00:45"), at("2026-01-01T01:00")]


@given(
    hours=st.integers(min_value=0, max_value=24 * 365 * 2),
    back=st.integers(min_value=1, max_value=200_000),
    cron=st.sampled_from(["30 2 * * *", "0 3 * * *", "*/20 * * * *", "0 2 * * sun", "15 1-3 * * *", "59 23 31 * *"]),
)
def test_looking_back_finds_what_looking_ahead_did(hours: int, back: int, cron: str) -> None:
    timing = Timing(cron=cron, zone="Europe/Berlin")
    upto = at("2026-01-01T00:00") + 3_600 * hours + 0.25
    ahead: list[float] = []
    tick = timing.after(upto - back)
    while tick is not None and tick <= upto:
        ahead.append(tick)
        tick = timing.after(tick)
    assert timing.latest(after=upto - back, upto=upto, limit=1_000) == ahead
    assert timing.latest(after=upto - back, upto=upto, limit=2) == ahead[-2:]


def test_looking_back_over_years_of_ticks_looks_at_few() -> None:
    minutely = Timing(cron="* * * * *")
    found = minutely.latest(after=0.0, upto=at("2026-01-01T00:00"), limit=3)
    assert found == [at("2025-12-31T23:58"), at("2025-12-31T23:59"), at("2026-01-01T00:00")]


def test_jitter_is_the_same_for_whoever_asks_and_within_its_bound() -> None:
    timing = Timing(every=600, jitter=300)
    late = [timing.due(tick_id("s", 600.0 * n), 600.0 * n) - 600.0 * n for n in range(1, 200)]
    assert late == [timing.due(tick_id("s", 600.0 * n), 600.0 * n) - 600.0 * n for n in range(1, 200)]
    assert all(0 <= one < 300 for one in late)
    assert max(late) - min(late) > 200


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "either"),
        ({"cron": "* * * * *", "every": 60.0}, "either"),
        ({"cron": "61 * * * *"}, "no cron expression"),
        ({"cron": "0 0 30 2 *"}, "no cron expression|never"),
        ({"cron": "* * * * *", "zone": "Europe/Berlim"}, "no time zone"),
        ({"cron": "* * * * *", "zone": "../etc/passwd"}, "no time zone"),
        ({"every": 0.5}, "whole seconds"),
        ({"every": 60.0, "zone": "Europe/Berlin"}, "goes with cron"),
        ({"every": 60.0, "jitter": 60.0}, "jitter"),
        ({"cron": "* * * * *", "jitter": -1.0}, "jitter"),
    ],
)
def test_what_names_no_ticks_is_refused(values: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Timing(**values)  # type: ignore[arg-type]  # wrong on purpose


def test_the_id_of_a_tick_is_its_schedule_and_its_moment() -> None:
    assert tick_id("nightly", datetime(2026, 3, 29, 3, tzinfo=BERLIN).timestamp()) == "nightly@2026-03-29T01:00:00Z"
