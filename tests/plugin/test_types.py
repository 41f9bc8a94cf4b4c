"""What the types promise to a reader of an editor's red lines: checked by mypy, once for all snippets."""

from __future__ import annotations

import re

import pytest
from mypy import api

PRELUDE = """
from datetime import timedelta
from typing import Annotated

from jobkit import Client, Context, Handle, Payload, Processor, Result, SyncContext, processor, resource
from jobkit.model.fence import Receipt
from jobkit.ports.broker import Consumer, Delivery
from jobkit.ports.store import Committed, Refused, Store
from jobkit.testing import run_job


class Video(Payload):
    video_id: str


class Audio(Payload):
    name: str


class Poster(Result):
    width: int


@processor("poster", key=lambda job: job.video_id)
async def poster(job: Video, ctx: Context) -> Poster:
    return Poster(width=1)
"""

# As strict as the project's own; what the snippets do not touch is left out, which takes less time.
CONFIGURATION = """
[mypy]
strict = true
plugins = pydantic.mypy
follow_imports = silent
[mypy-opentelemetry.*,structlog.*,jobkit.backends.*,jobkit.plugin.registry]
follow_imports = skip
"""

# Snippet, and the mypy error code on its last line; None where it must pass.
SNIPPETS: dict[str, tuple[str, str | None]] = {
    "an_ack_with_a_receipt": (
        "async def f(consumer: Consumer, delivery: Delivery, receipt: Receipt) -> None:\n"
        "    await consumer.ack(delivery, receipt)",
        None,
    ),
    "an_ack_without_a_receipt": (
        "async def f(consumer: Consumer, delivery: Delivery) -> None:\n    await consumer.ack(delivery)",
        "call-arg",
    ),
    "an_ack_with_a_word_for_a_receipt": (
        "async def f(consumer: Consumer, delivery: Delivery) -> None:\n    await consumer.ack(delivery, 'done')",
        "arg-type",
    ),
    "an_ack_with_what_may_have_been_refused": (
        "async def f(consumer: Consumer, delivery: Delivery, answer: Receipt | Refused) -> None:\n"
        "    await consumer.ack(delivery, answer)",
        "arg-type",
    ),
    "an_ack_with_a_whole_commit": (
        "async def f(consumer: Consumer, delivery: Delivery, answer: Committed) -> None:\n"
        "    await consumer.ack(delivery, answer)",
        "arg-type",
    ),
    "an_ack_with_the_receipt_of_a_commit": (
        "async def f(consumer: Consumer, delivery: Delivery, answer: Committed) -> None:\n"
        "    await consumer.ack(delivery, answer.receipt)",
        None,
    ),
    "a_processor_knows_its_payload_and_result": (
        "typed: Processor[Video, Poster] = poster",
        None,
    ),
    "a_processor_is_not_one_of_another_payload": (
        "typed: Processor[Audio, Poster] = poster",
        "assignment",
    ),
    "a_processor_is_still_callable_as_its_function": (
        "async def f(ctx: Context) -> int:\n    return (await poster(Video(video_id='v'), ctx)).width",
        None,
    ),
    "run_job_returns_the_processors_result": (
        "async def f() -> int:\n    return (await run_job(poster, Video(video_id='v'))).result.width",
        None,
    ),
    "a_handle_has_the_processors_result": (
        "async def f(client: Client) -> int:\n"
        "    handle = await poster.submit(client, Video(video_id='v'), key='k')\n"
        "    reveal_type(handle)\n"
        "    reveal_type(client.handle('id', poster))\n"
        "    return (await handle.result(timeout=5)).width",
        None,
    ),
    "a_submit_takes_the_processors_payload_and_no_other": (
        "async def f(client: Client) -> None:\n    await poster.submit(client, Audio(name='a'))",
        "arg-type|call-overload",
    ),
    "a_submit_takes_no_option_that_there_is_not": (
        "async def f(client: Client) -> None:\n    await poster.submit(client, Video(video_id='v'), kye='k')",
        "call-arg|call-overload",
    ),
    "a_handle_is_not_one_of_another_result": (
        "async def f(client: Client) -> Handle[str]:\n    return client.handle('id', poster)",
        "return-value|arg-type",
    ),
    "run_job_takes_the_processors_payload_and_no_other": (
        "async def f() -> None:\n    await run_job(poster, Audio(name='a'))",
        "arg-type|misc|type-var",
    ),
    "a_result_is_no_other_type": (
        "async def f() -> str:\n    return (await run_job(poster, Video(video_id='v'))).result.width",
        "return-value",
    ),
    "a_processor_must_take_a_payload": (
        "@processor('t', key=lambda job: 'k')\nasync def wrong(job: int, ctx: Context) -> None: ...",
        "call-overload|type-var|arg-type",
    ),
    "a_processor_with_a_context_must_be_async": (
        "@processor('t', key=lambda job: 'k')\ndef wrong(job: Video, ctx: Context) -> None: ...",
        "call-overload|type-var|arg-type",
    ),
    "a_blocking_processor_takes_a_synchronous_context_and_knows_its_result": (
        "@processor('t', key=lambda job: 'k')\ndef blocking(job: Video, ctx: SyncContext) -> Poster:\n"
        "    return Poster(width=1)\n\n\ntyped: Processor[Video, Poster] = blocking",
        None,
    ),
    "a_processor_may_ask_for_resources": (
        "@resource\nasync def size() -> int:\n    return 3\n\n\n@processor('t', key=lambda job: 'k')\n"
        "async def f(job: Video, ctx: Context, width: Annotated[int, size]) -> Poster:\n"
        "    return Poster(width=width)\n\n\ntyped: Processor[Video, Poster] = f",
        None,
    ),
    "a_processor_reads_its_records_as_their_model": (
        "async def f(ctx: Context) -> int:\n"
        "    found = await ctx.read('poster', Poster)\n"
        "    return 0 if found is None else found.width",
        None,
    ),
    "a_record_may_be_missing": (
        "async def f(ctx: Context) -> int:\n    return (await ctx.read('poster', Poster)).width",
        "union-attr",
    ),
    "a_fence_cannot_be_left_out_of_a_commit": (
        "async def f(store: Store, committed: Committed) -> None:\n    await store.commit(None, effects=None)",
        "call-arg|arg-type",
    ),
}


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The output of one mypy run, by snippet."""
    folder = tmp_path_factory.mktemp("snippets")
    for name, (snippet, _) in SNIPPETS.items():
        (folder / f"{name}.py").write_text(f"{PRELUDE}\n\n{snippet}\n")
    (folder / "mypy.ini").write_text(CONFIGURATION)
    report, problems, _ = api.run(
        ["--config-file", str(folder / "mypy.ini"), "--cache-dir", str(folder / "cache")]
        + [str(folder / f"{name}.py") for name in SNIPPETS]
    )
    assert problems == ""
    found = dict.fromkeys(SNIPPETS, "")
    handle = "jobkit.handles.handle.Handle[a_handle_has_the_processors_result.Poster]"
    assert report.count(f'note: Revealed type is "{handle}"') == 2, report
    for line in report.splitlines():
        if ": note: Revealed type" in line:
            continue
        if match := re.match(rf"{re.escape(str(folder))}/(\w+)\.py:", line):
            found[match[1]] += f"{line}\n"
    assert "Found" in report, report
    return found


@pytest.mark.parametrize(("name", "expected"), [(name, code) for name, (_, code) in SNIPPETS.items()], ids=SNIPPETS)
def test_mypy_says_what_the_design_wants(complaints: dict[str, str], name: str, expected: str | None) -> None:
    if expected is None:
        assert complaints[name] == ""
    else:
        assert re.search(rf": error: .*\[({expected})\]", complaints[name]), complaints[name] or "mypy does not mind"
