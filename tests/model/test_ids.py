"""Identities: their layout, their order, and that no two are the same."""

from __future__ import annotations

import os
import random
import re
import time
import uuid

from hypothesis import given
from hypothesis import strategies as st

from jobkit.model.ids import new_job_id, new_nonce, new_owner

milliseconds = st.integers(0, 2**48 - 1)


@given(milliseconds, st.integers())
def test_a_job_id_is_a_version_7_uuid_of_its_moment(unix_ms: int, seed: int) -> None:
    parsed = uuid.UUID(new_job_id(unix_ms=unix_ms, rng=random.Random(seed)))
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.int >> 80 == unix_ms


def test_the_layout_is_that_of_the_example_in_rfc_9562() -> None:
    """Appendix A.6: 017F22E2-79B0-7CC3-98C4-DC0C0C07398F."""

    class Noise(random.Random):
        def getrandbits(self, k: int, /) -> int:
            assert k == 74
            return 0xCC3 << 62 | 0x18C4DC0C0C07398F

    assert new_job_id(unix_ms=0x017F22E279B0, rng=Noise()) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(milliseconds, milliseconds, st.integers())
def test_ids_made_later_sort_later(one: int, other: int, seed: int) -> None:
    rng = random.Random(seed)
    first, second = (new_job_id(unix_ms=moment, rng=rng) for moment in (one, other))
    if one != other:
        assert (first < second) == (one < other)


def test_an_id_made_now_carries_the_time_of_day() -> None:
    before = time.time_ns() // 1_000_000
    moment = uuid.UUID(new_job_id()).int >> 80
    assert before <= moment <= time.time_ns() // 1_000_000


def test_no_two_identities_are_the_same() -> None:
    for make in (new_job_id, new_nonce, new_owner):
        assert len({make() for _ in range(1_000)}) == 1_000


def test_an_owner_names_its_host_and_process_and_one_start_of_it() -> None:
    assert re.fullmatch(rf".+:{os.getpid()}:[0-9a-f]{{8}}", new_owner())


def test_a_nonce_has_64_bits() -> None:
    assert re.fullmatch("[0-9a-f]{16}", new_nonce())
    assert re.fullmatch("[0-9a-f]{16}", new_nonce(random.Random(1)))
    assert new_nonce(random.Random(1)) == new_nonce(random.Random(1))
