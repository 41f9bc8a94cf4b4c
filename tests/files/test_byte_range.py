"""Ranges of bytes, after the examples of RFC 9110, sections 14.1.2 and 14.4."""

from __future__ import annotations

import pytest

from jobkit.files.byte_range import Unsatisfiable, byte_range


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("bytes=0-499", (0, 500)),
        ("bytes=500-999", (500, 1_000)),
        ("bytes=-500", (9_500, 10_000)),
        ("bytes=9500-", (9_500, 10_000)),
        ("bytes=0-0", (0, 1)),
        ("bytes=0-", (0, 10_000)),
        ("bytes=9999-20000", (9_999, 10_000)),
        ("bytes=-20000", (0, 10_000)),
        (" bytes = 1 - 2 ", (1, 3)),
    ],
)
def test_what_a_header_asks_for(header: str, found: tuple[int, int]) -> None:
    assert byte_range(header, 10_000) == found


@pytest.mark.parametrize(
    "header", ["", "bytes", "bytes=", "bytes=-", "items=0-1", "bytes=2-1", "bytes=0-1,5-6", "bytes=x-y", "bytes=0-٣"]
)
def test_what_cannot_be_read_and_several_ranges_are_answered_by_the_whole(header: str) -> None:
    assert byte_range(header, 10_000) is None


@pytest.mark.parametrize("header", ["bytes=10000-", "bytes=10000-10001", "bytes=-0"])
def test_a_range_without_a_byte_is_refused(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        byte_range(header, 10_000)


def test_an_empty_file_has_no_range() -> None:
    with pytest.raises(Unsatisfiable):
        byte_range("bytes=0-", 0)
