"""The layout of a type's queues, on its way from one number of partitions to another."""

from __future__ import annotations

from itertools import pairwise

import pytest

from jobkit.model.layout import Layout

TWO = Layout.first(2)


def moved(layout: Layout) -> Layout:
    """Return a layout once all its queues are moved."""
    for index in range(layout.led):
        layout = layout.moved(index)
    return layout


def opened(layout: Layout) -> Layout:
    """Return a layout once all its partitions are open."""
    for index in range(layout.partitions):
        layout = layout.swept(index).opened(index)
    return layout


@pytest.mark.parametrize("number", [1, 2, 5])
def test_a_change_goes_through_all_its_parts_and_comes_to_an_end(number: int) -> None:
    announced = TWO.announced(number)
    assert (announced.partitions, announced.wanted, announced.version) == (2, number, TWO.version)
    assert announced.opening == {0, 1}
    moving = announced.changed(number)
    assert (moving.moving, moving.partitions, moving.next, moving.opening) == (True, number, None, frozenset())
    in_force = moved(moving)
    assert not in_force.moving
    assert in_force.version > moving.version > announced.version
    assert in_force.gathered == frozenset(range(number))
    ready = opened(in_force)
    assert ready.surplus == (number < 2)
    assert ready.retired().removed().settled
    for layout in (announced, moving, in_force, in_force.swept(0), ready):
        assert not layout.settled or layout is ready
        assert Layout.unpack(layout.pack()) == layout


def test_nobody_publishes_without_a_look_in_the_step_before_or_after_a_job_may_be_left_behind() -> None:
    """order: publishers hear of a step one after another."""
    steps = [TWO, announced := TWO.announced(3), moving := announced.changed(3), moved(moving)]
    for index in range(3):
        steps += [steps[-1].swept(index), steps[-1].swept(index).opened(index)]

    def leaves(layout: Layout, index: int) -> bool:
        return layout.moving or index in layout.gathered

    def looks(layout: Layout, index: int) -> bool:
        return leaves(layout, index) or index in layout.opening

    for before, after in pairwise(steps):
        for index in range(2):
            assert not leaves(before, index) or looks(after, index)
            assert not leaves(after, index) or looks(before, index)


def test_another_change_can_be_asked_for_at_any_time() -> None:
    announced = TWO.announced(5)
    assert announced.announced(4) == TWO.announced(4)
    moving = announced.changed(5)
    again = moving.announced(3)
    assert (again.moving, again.partitions, again.unmoved) == (True, 3, frozenset(range(5)))
    gathered = moved(moving).swept(1)
    later = gathered.announced(2)
    assert later.gathered == gathered.gathered
    assert later.opening == {1}
