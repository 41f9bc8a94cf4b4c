"""Opening and closing resources: in order, in reverse, and with what goes wrong told by name."""

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import anyio
import pytest

from jobkit import resource
from jobkit.errors import ResourceFailed
from jobkit.runner import resources
from jobkit.runner.resources import open_resources
from tests.witness import Witness

steps: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    steps.clear()


@resource
async def first() -> AsyncIterator[str]:
    steps.append("open first")
    yield "first"
    steps.append("close first")


@resource
def second(before: Annotated[str, first]) -> Iterator[str]:
    aside = threading.current_thread() is not threading.main_thread()
    steps.append(f"open second after {before}, in a thread: {aside}")
    yield "second"
    steps.append("close second")


@resource
def broken(before: Annotated[str, second]) -> int:
    raise OSError("nobody there")


@resource
async def sticky() -> AsyncIterator[int]:
    yield 1
    raise OSError("it will not close")


@resource
async def slow_to_close() -> AsyncIterator[int]:
    yield 1
    await anyio.sleep_forever()


@resource
async def never_open() -> AsyncIterator[int]:
    await anyio.sleep_forever()
    yield 1


@resource
async def with_a_task_of_its_own() -> AsyncIterator[anyio.Event]:
    fail = anyio.Event()

    async def listen() -> None:
        await fail.wait()
        raise OSError("the connection broke")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        yield fail
        tasks.cancel_scope.cancel()


async def test_they_open_in_order_and_close_in_reverse() -> None:
    async with open_resources([first, second], {}, Witness().telemetry) as opened:
        assert dict(opened) == {first: "first", second: "second"}
        assert steps == ["open first", "open second after first, in a thread: True"]
        steps.clear()
    assert steps == ["close second", "close first"]


async def test_what_does_not_open_is_named_and_what_was_open_is_closed() -> None:
    told = r"resource 'broken' \(.*test_resources.broken\) did not open: OSError: nobody there"
    with pytest.raises(ResourceFailed, match=told) as failed:
        async with open_resources([first, second, broken], {}, Witness().telemetry):
            pytest.fail("it began")
    assert isinstance(failed.value.__cause__, OSError)
    assert steps[2:] == ["close second", "close first"]


async def test_one_that_does_not_close_is_told_and_the_others_are_closed() -> None:
    witness = Witness()
    async with open_resources([first, sticky], {}, witness.telemetry):
        pass
    assert steps == ["open first", "close first"]
    (line,) = witness.lines("resource did not close")
    assert (line["resource"], line["error"]) == ("sticky", "OSError: it will not close")


async def test_one_that_takes_for_ever_to_close_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "CLOSE_SECONDS", 0.05)
    witness = Witness()
    async with open_resources([first, slow_to_close], {}, witness.telemetry):
        pass
    assert steps[-1] == "close first"
    assert "given up" in witness.lines("resource did not close")[0]["error"]


async def test_who_is_stopped_while_one_opens_does_not_wait_for_it() -> None:
    with anyio.move_on_after(0.05) as scope:
        async with open_resources([first, never_open], {}, Witness().telemetry):
            pytest.fail("it began")
    assert scope.cancelled_caught
    assert steps == ["open first", "close first"]


async def test_who_is_stopped_while_it_works_still_closes_what_is_open() -> None:
    with anyio.move_on_after(0.05):
        async with open_resources([first, with_a_task_of_its_own], {}, Witness().telemetry):
            await anyio.sleep_forever()
    assert steps == ["open first", "close first"]


async def test_one_that_ends_while_it_is_in_use_ends_the_block_by_name() -> None:
    async def use() -> None:
        async with open_resources([first, with_a_task_of_its_own], {}, Witness().telemetry) as opened:
            fail = opened[with_a_task_of_its_own]
            assert isinstance(fail, anyio.Event)
            fail.set()
            await anyio.sleep_forever()

    with pytest.raises(ResourceFailed, match=r"'with_a_task_of_its_own' .* ended while it was in use"):
        await use()
    assert steps == ["open first", "close first"]


async def test_an_error_of_the_block_comes_out_as_it_is() -> None:
    with pytest.raises(KeyError):
        async with open_resources([first], {}, Witness().telemetry):
            raise KeyError("mine")
    assert steps == ["open first", "close first"]
