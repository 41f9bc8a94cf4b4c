from __future__ import annotations

import itertools

import pytest

from workers.transcode import progress
from workers.transcode.progress import FfmpegProgress, Step, pace


def feed(reader: FfmpegProgress, text: str) -> list[bool]:
    return [reader.feed(line) for line in text.splitlines()]


def block(seconds: float, frame: int = 1, end: str = "continue") -> str:
    return f"frame={frame}\ntotal_size=48\nout_time_us={int(seconds * 1e6)}\nspeed=2x\nprogress={end}\n"


def test_a_block_counts_as_progress_at_its_end() -> None:
    reader = FfmpegProgress()
    assert feed(reader, block(1.5)) == [False, False, False, False, True]
    assert reader.seconds == 1.5


def test_a_block_that_says_the_same_again_is_no_progress() -> None:
    reader = FfmpegProgress()
    feed(reader, block(1.5))
    assert not any(feed(reader, block(1.5)))


def test_frames_are_progress_before_the_first_packet_is_written() -> None:
    reader = FfmpegProgress()
    text = "frame={}\nout_time_us=N/A\nprogress=continue\n"
    assert any(feed(reader, text.format(1)))
    assert any(feed(reader, text.format(2)))
    assert reader.seconds == 0.0


def test_position_never_goes_back() -> None:
    reader = FfmpegProgress()
    feed(reader, block(2.0) + block(-0.02, frame=2))
    assert reader.seconds == 2.0


def test_nonsense_is_survived() -> None:
    reader = FfmpegProgress()
    assert not any(feed(reader, "\n=\nout_time_us=--5\nout_time_us=1e9\n\x00\n"))


def test_steps_follow_each_other_from_zero_to_one() -> None:
    steps = [progress.PROBE, progress.ENCODE, progress.PACKAGE, progress.VERIFY, progress.ENCRYPT, progress.STORE]
    assert steps[0].start == 0.0
    assert steps[-1].end == 1.0
    assert all(one.end == other.start for one, other in itertools.pairwise(steps))


def test_a_fraction_out_of_range_stays_within_its_step() -> None:
    assert progress.ENCODE.at(7.0) == progress.ENCODE.end
    assert progress.ENCODE.at(-1.0) == progress.ENCODE.start


@pytest.mark.parametrize(
    ("done", "elapsed", "words"),
    [
        (1, 1, ""),
        (0, 60, ""),
        (30, 60, " at 0.5 times its speed, about 4 min left"),
        (90, 30, " at 3 times its speed, about 20 s left"),
        (0.01, 60, " at 0.00017 times its speed, about 250 h left"),
    ],
)
def test_pace_tells_how_fast_it_goes_and_when_all_is_done(done: float, elapsed: float, words: str) -> None:
    step = Step(0.0, 0.8, "encoding")
    assert pace(step, done, 120, elapsed) == words
