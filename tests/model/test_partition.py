"""Which partition a key belongs to. Publishers in other languages can check theirs against these vectors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobkit.model.partition import Partition, partition_of

# (key, CRC-32 of its UTF-8 bytes as in RFC 1952, partition of 8)
VECTORS = [
    ("", 0x00000000, 0),
    ("a", 0xE8B7BE43, 3),
    ("abc", 0x352441C2, 2),
    ("123456789", 0xCBF43926, 6),
    ("The quick brown fox jumps over the lazy dog", 0x414FA339, 1),
    ("video-1", 0x6F1A6489, 1),
    ("\u00fcber", 0xD2E10488, 0),
    ("\u52d5\u753b", 0x5ED058B8, 0),
    ("\U0001f3ac", 0x2B0D6C70, 0),
]


def _crc32_as_in_rfc_1952(data: bytes) -> int:
    """The definition, bit by bit, so that the vectors do not rest on one library."""
    rest = 0xFFFFFFFF
    for byte in data:
        rest ^= byte
        for _ in range(8):
            rest = rest >> 1 ^ (0xEDB88320 if rest & 1 else 0)
    return rest ^ 0xFFFFFFFF


@pytest.mark.parametrize(("key", "checksum", "partition"), VECTORS)
def test_a_key_has_the_partition_that_every_language_computes(key: str, checksum: int, partition: int) -> None:
    assert _crc32_as_in_rfc_1952(key.encode()) == checksum
    assert partition_of(key, 8) == partition == checksum % 8


def test_the_check_value_of_crc_32_is_the_standards() -> None:
    """RFC 1952's polynomial, reflected, with the usual check value; not CRC-32C."""
    assert partition_of("123456789", 2**32) == 0xCBF43926


@given(st.text(), st.integers(1, 1024))
def test_every_key_has_one_partition_in_range(key: str, partitions: int) -> None:
    found = partition_of(key, partitions)
    assert 0 <= found < partitions
    assert found == partition_of(key, partitions)


def test_keys_spread_over_all_partitions() -> None:
    counts = [0] * 8
    for number in range(8_000):
        counts[partition_of(f"key-{number}", 8)] += 1
    assert min(counts) > 800


def test_a_partition_says_where_its_leadership_is_leased() -> None:
    partition = Partition("transcode", 3)
    assert (str(partition), partition.resource) == ("transcode/3", "leader/transcode/3")
