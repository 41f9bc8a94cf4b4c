"""What is loaded here against what workers have published: the doctor tells, and a worker as it starts."""

from __future__ import annotations

from typing import Any

from jobkit import Context, Payload, Result, processor
from jobkit.ops.diagnosis.published_types import published_types
from jobkit.plugin.registry import Registry
from jobkit.plugin.type_definition import definition_in, definition_of, published
from jobkit.ports.types import PublishedType
from tests.virtual_site import in_virtual_time, open_site


class Wide(Payload):
    on: str
    note: str = ""


class Narrow(Payload):
    on: str


class Told(Result):
    total: int


@processor("bill", key=lambda job: job.on)
async def wide(job: Wide, ctx: Context) -> Told:
    return Told(total=1)


@processor("bill", key=lambda job: job.on)
async def narrow(job: Narrow, ctx: Context) -> None: ...


@processor("bill", key=lambda job: job.on, version=2)
async def second(job: Narrow, ctx: Context) -> Told:
    return Told(total=2)


@second.upcast(from_version=1)
def _without_note(old: dict[str, Any]) -> dict[str, Any]:
    return {"on": old["on"]}


@in_virtual_time
async def test_the_doctor_tells_what_is_taken_no_more() -> None:
    async with open_site(wide) as site:
        inspection = site.planes.inspection
        assert await published_types(inspection, Registry([narrow])) == []
        await inspection.save_types([published(definition_of(wide)), PublishedType("unread", b"?")])
        assert await published_types(inspection, Registry([wide])) == []
        assert await published_types(inspection, Registry([second])) == []
        (finding,) = await published_types(inspection, Registry([narrow]))
        assert "note: it was removed; result.total: it was removed" in finding.what
        await inspection.save_types([PublishedType("bill", b"?")])
        (finding,) = await published_types(inspection, Registry([narrow]))
        assert "published by another version" in finding.what


@in_virtual_time
async def test_a_worker_tells_as_it_starts_and_an_older_one_publishes_nothing_over_a_later() -> None:
    async with open_site(wide) as site:

        async def version() -> int:
            (kept,) = await site.planes.inspection.types(["bill"])
            return definition_in(kept).version

        async def started(registry: Registry) -> None:
            worker = site.start(f"w{len(site.workers)}", registry=registry)
            await site.until(lambda: len(worker.worker._leaderships.led) > 0)

        await started(Registry([wide]))
        await started(Registry([second]))
        said = "job type does not fit what is published of it: jobs may be held or dead-lettered"
        assert (await version(), site.witness.lines(said)) == (2, [])
        await started(Registry([wide]))
        assert await version() == 2
        (line,) = site.witness.lines(said)
        assert line["changes"] == ["version 2 is published, and the code here is of version 1"]
