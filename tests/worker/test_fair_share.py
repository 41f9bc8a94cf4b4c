"""How many partitions each worker is to lead: a plain function of who is there."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jobkit.model.partition import Partition
from jobkit.ports.coordinator import Member
from jobkit.worker.fair_share import assignments, fair_share, share_with

owners = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=40, unique=True)


def _serving(names: list[str], type: str = "t") -> list[Member]:
    return [Member(name, (type, "other")) for name in names]


@given(owners, st.integers(1, 1024))
def test_the_shares_add_up_and_differ_by_one_at_most(names: list[str], partitions: int) -> None:
    members = _serving(names)
    shares = [fair_share(name, members, "t", partitions) for name in names]
    assert sum(shares) == partitions
    assert max(shares) - min(shares) <= 1


@given(owners, st.integers(1, 1024), st.randoms(use_true_random=False))
def test_every_worker_computes_the_same_whatever_order_it_was_told(
    names: list[str], partitions: int, rng: object
) -> None:
    shuffled = list(names)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    for name in names:
        assert fair_share(name, _serving(names), "t", partitions) == fair_share(
            name, _serving(shuffled), "t", partitions
        )


def test_the_one_partition_of_each_of_many_types_is_not_always_led_by_the_same_worker() -> None:
    types = tuple(f"type-{number}" for number in range(60))
    members = [Member(name, types) for name in ("a", "b", "c")]
    led = {member.owner: sum(fair_share(member.owner, members, type, 1) for type in types) for member in members}
    assert sum(led.values()) == len(types)
    assert min(led.values()) > len(types) / 10


@given(owners, owners, st.integers(1, 64))
def test_workers_of_other_types_do_not_count(names: list[str], others: list[str], partitions: int) -> None:
    members = _serving(names) + [Member(f"x{name}", ("other",)) for name in others]
    assert sum(fair_share(name, members, "t", partitions) for name in names) == partitions


@given(owners, st.integers(1, 64))
def test_who_is_not_counted_as_live_gets_nothing(names: list[str], partitions: int) -> None:
    assert fair_share("somebody else", _serving(names), "t", partitions) == 0
    assert fair_share("me", [], "t", partitions) == 0


@given(owners, st.text(min_size=1, max_size=8), st.integers(1, 64))
def test_a_worker_that_joins_takes_nothing_it_need_not(names: list[str], newcomer: str, partitions: int) -> None:
    before = {name: fair_share(name, _serving(names), "t", partitions) for name in names}
    joined = _serving(sorted({*names, newcomer}))
    for name in names:
        assert fair_share(name, joined, "t", partitions) <= before[name]


latencies = st.floats(0, 30, allow_nan=False)


@given(st.dictionaries(st.text(min_size=1, max_size=8), latencies, min_size=1, max_size=40), st.integers(1, 1024))
def test_the_shares_add_up_however_far_each_worker_is(workers: dict[str, float], partitions: int) -> None:
    members = [Member(name, ("t",), latency) for name, latency in workers.items()]
    shares = {name: fair_share(name, members, "t", partitions) for name in workers}
    assert sum(shares.values()) == partitions
    # Nobody has more than one who is nearer, but for what cannot be divided.
    for one, other in itertools.pairwise(sorted(workers, key=lambda name: workers[name])):
        assert shares[one] >= shares[other] - 1


def test_who_is_far_leads_nothing_while_somebody_near_is_there() -> None:
    members = [Member("near", ("t",), 0.002), Member("far", ("t",), 0.5), Member("farther", ("t",), 5)]
    assert [fair_share(member.owner, members, "t", 8) for member in members] == [8, 0, 0]


def test_where_all_are_equally_far_all_lead_as_many() -> None:
    members = [Member(name, ("t",), 0.5) for name in "abcd"]
    assert [fair_share(member.owner, members, "t", 8) for member in members] == [2, 2, 2, 2]


def test_a_few_milliseconds_more_cost_no_partition() -> None:
    members = [Member("a", ("t",), 0.001), Member("b", ("t",), 0.2)]
    assert [fair_share(member.owner, members, "t", 8) for member in members] == [4, 4]


def test_workers_of_which_one_is_told_twice_as_far_as_the_other_lead_as_many() -> None:
    members = [Member("a", ("t",), 0.5), Member("b", ("t",), 1.0)]
    assert [fair_share(member.owner, members, "t", 8) for member in members] == [4, 4]


@given(owners, st.lists(st.integers(0, 7), max_size=8, unique=True), st.randoms(use_true_random=False))
def test_the_shares_add_up_whoever_is_asked_to_lead_what(names: list[str], indexes: list[int], rng: Any) -> None:
    asked = {index: rng.choice(names) for index in indexes}
    members = [
        Member(name, ("t",), 0.0, tuple(Partition("t", index) for index, owner in asked.items() if owner == name))
        for name in names
    ]
    assigned = assignments(members, "t", 8)
    assert assigned == asked
    shares = {name: share_with(assigned, name, members, "t", 8) for name in names}
    assert sum(shares.values()) == 8
    for name in names:
        assert shares[name] >= list(asked.values()).count(name)
    if not asked:
        assert shares == {name: fair_share(name, members, "t", 8) for name in names}


def test_who_cannot_lead_a_partition_is_not_waited_for() -> None:
    asked = tuple(Partition("t", index) for index in (1, 9))
    members = [Member("a", ("t",)), Member("far", ("t",), 5, asked), Member("other", ("u",), 0, asked)]
    assert assignments(members, "t", 8) == {}
    assert assignments([*members, Member("b", ("t",), 0, asked)], "t", 8) == {1: "b"}
