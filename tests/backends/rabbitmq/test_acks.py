"""Acks: few frames, and nothing kept back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jobkit.backends.rabbitmq.acks import Ack, Acks


def acks_of(count: int) -> Acks:
    acks = Acks()
    for tag in range(1, count + 1):
        acks.delivered(tag)
    return acks


def test_a_finished_prefix_takes_one_frame() -> None:
    acks = acks_of(5)
    for tag in (2, 1, 3):
        acks.finish(tag)
    assert acks.take(everything=False) == [Ack(3, multiple=True)]
    assert acks.take(everything=True) == []


def test_nothing_behind_an_unfinished_message_is_acked_with_it() -> None:
    acks = acks_of(3)
    acks.finish(2)
    assert acks.take(everything=False) == []
    assert acks.take(everything=True) == [Ack(2, multiple=False)]


def test_a_frame_for_many_never_names_one_that_was_acked_alone() -> None:
    acks = acks_of(3)
    acks.finish(3)
    acks.take(everything=True)
    acks.finish(1)
    acks.finish(2)
    assert acks.take(everything=False) == [Ack(2, multiple=True)]


def test_twenty_in_a_row_are_enough_to_send() -> None:
    acks = acks_of(Acks.ENOUGH + 1)
    for tag in range(2, Acks.ENOUGH + 2):
        acks.finish(tag)
    assert not acks.enough
    acks.finish(1)
    assert acks.enough


def test_many_behind_a_stuck_head_are_let_go() -> None:
    acks = acks_of(Acks.MANY_BEHIND + 1)
    for tag in range(2, Acks.MANY_BEHIND + 2):
        acks.finish(tag)
    assert acks.enough
    assert acks.take(everything=False) == [Ack(tag, multiple=False) for tag in range(2, Acks.MANY_BEHIND + 2)]
    assert not acks.enough


def test_finishing_twice_or_what_never_came_changes_nothing() -> None:
    acks = acks_of(2)
    acks.finish(1)
    acks.finish(1)
    acks.finish(7)
    assert acks.take(everything=True) == [Ack(1, multiple=True)]
    acks.finish(1)
    assert acks.take(everything=True) == []


class Channel:
    """Does with acks what a broker does, and is as strict about them."""

    def __init__(self, count: int) -> None:
        self.owed = set(range(1, count + 1))

    def take(self, ack: Ack) -> None:
        assert ack.tag in self.owed, "the server closes the channel for an unknown tag"
        self.owed -= {tag for tag in self.owed if tag == ack.tag or (ack.multiple and tag < ack.tag)}


@given(
    st.permutations(range(1, 101)), st.lists(st.sampled_from(["enough", "prefix", "all"]), min_size=100, max_size=100)
)
def test_in_any_order_exactly_what_is_finished_is_acked(order: list[int], takes: list[str]) -> None:
    acks, channel, finished = acks_of(100), Channel(100), set()
    for tag, take in zip(order, takes, strict=True):
        acks.finish(tag)
        finished.add(tag)
        if take != "enough" or acks.enough:
            for ack in acks.take(everything=take == "all"):
                channel.take(ack)
        assert channel.owed >= set(range(1, 101)) - finished
    for ack in acks.take(everything=True):
        channel.take(ack)
    assert not channel.owed
