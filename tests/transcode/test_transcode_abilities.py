"""What the doctor is told that a machine can encode: soon, whatever there is to try."""

from __future__ import annotations

from workers.transcode.working_encoders import abilities_within


async def test_what_is_not_tried_in_time_is_told_as_that() -> None:
    (told,) = await abilities_within(0.0)
    assert told.startswith("has, and had no time to try libx264")
