"""The page of workers: a partition handed over, and a worker that drains."""

from __future__ import annotations

from jobkit.model.partition import Partition
from jobkit.ports.coordinator import Member
from tests.web.site import Reader, Site

ANN, BOB = "ann:1:a", "bob:2:b"


async def _alive(site: Site) -> None:
    for owner in (ANN, BOB):
        await site.planes.coordinator.heartbeat(Member(owner, ("note",)), ttl=60)
    await site.planes.coordinator.claim("leader/note/3", owner=ANN, nonce="n", ttl=60)


async def test_a_partition_is_handed_over_to_another_worker(site: Site, reader: Reader) -> None:
    await _alive(site)
    page = await reader.get("/do/hand-over?type=note&partition=3")
    assert f"{ANN} leads note/3 now" in page.words
    assert f"<option>{ANN}</option>" not in page.text
    done = await reader.confirmed("hand-over", {"owner": BOB}, type="note", partition="3")
    assert (done.status, done.headers["location"]) == (303, "/workers")
    _, bob = await site.planes.coordinator.members()
    assert bob.assigned == (Partition("note", 3),)
    assert f"goes to {BOB}" in (await reader.get("/workers")).words
    (action,) = await site.planes.inspection.actions()
    assert (action.what, action.subject, action.detail) == ("hand-over", "partition note/3", f"to {BOB}")


async def test_a_worker_is_drained_and_asked_for_nothing_else(site: Site, reader: Reader) -> None:
    await _alive(site)
    await reader.confirmed("drain", owner=BOB)
    _, bob = await site.planes.coordinator.members()
    assert bob.dismissed
    assert "drains" in (await reader.get("/workers")).words
    # Nobody is left whom the partition could be handed to.
    assert (await reader.get("/do/hand-over?type=note&partition=3")).status == 409


async def test_what_cannot_be_asked_of_workers_is_refused(site: Site, reader: Reader) -> None:
    await _alive(site)
    assert (await reader.confirmed("drain", owner="nobody")).status == 409
    assert (await reader.get("/do/hand-over?type=note&partition=x")).status == 404
    assert (await reader.confirmed("hand-over", {"owner": BOB}, type="note", partition="99")).status == 409
    assert (await reader.confirmed("hand-over", {"owner": "nobody"}, type="note", partition="1")).status == 409
    assert all(not one.assigned and not one.dismissed for one in await site.planes.coordinator.members())
