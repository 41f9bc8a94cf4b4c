"""A site with something of every kind, as the pages of the dashboard show it."""

from __future__ import annotations

from jobkit.client import Client
from jobkit.model.fence import Fence
from jobkit.model.limit import Limit
from jobkit.model.partition import Partition
from jobkit.model.pause import Scope
from jobkit.model.tags import tagged
from jobkit.plugin.registry import Registry
from jobkit.ports.coordinator import Member
from jobkit.ports.limits import Waiting
from jobkit.ports.planes import Planes
from jobkit.ports.store import Opened
from jobkit.settings import Settings
from tests.cli.plugin import Note, note
from tests.cli.world import World

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
_WORKERS = ("render-1:4711:9f2c", "render-2:4712:77ab")
_LETTERS = 7
_TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}

PATHS = (
    "/",
    "/jobs",
    "/jobs?state=dead&error=room&column=key&column=doing&column=attempts",
    "/jobs/waits",
    "/jobs/runs",
    "/jobs/over",
    "/jobs/hostile",
    "/jobs/dead-1",
    "/jobs/done",
    "/groups",
    "/groups/book",
    "/keys/chapter/ulysses",
    "/keys/note/k0",
    "/workers",
    "/dead",
    "/dead/1",
    "/steering",
    "/checks",
    "/checks/verify?run=1",
    "/checks/drill",
    "/audit",
    "/do/cancel?id=waits",
    "/do/hand-over?type=note&partition=0",
    "/do/requeue-edited?number=1",
)


def fill(world: World) -> None:
    """Have jobs in all states, and what holds them up."""
    for number in range(12):
        world.committed(world.accepted("note", {"about": f"k{number}"}, id=f"done-{number}"), b'{"said": "hello"}')
    world.committed(world.accepted("note", {"about": "k0"}, id="done"), b'{"seconds": 12.5, "frames": 300}')
    for number in range(_LETTERS):
        error = f"OSError: no room on disk {number}" if number % 3 else "ValueError: frame 17 has no picture"
        job = world.accepted("note", {"about": f"d{number}"}, id=f"dead-{number}")
        world.buried(
            job, reason="too many attempts", error=error, traceback="Traceback (most recent call last):\n  ..."
        )
    world.buried(world.accepted("note", {"about": "x"}, id=f"dead{HOSTILE}"), reason=HOSTILE, error=HOSTILE)
    world.accepted("note", {"about": HOSTILE, "text": HOSTILE}, id="hostile")
    world.buried(world.accepted("chapter", {"about": "ulysses"}, id="first"), reason="hopeless")
    world.accepted("chapter", {"about": "ulysses"}, id="waits")
    world.parked(world.accepted("chapter", {"about": "ulysses"}, id="parked"))
    world.opened(world.accepted("note", {"about": "r"}, id="runs"), progress=0.42, message="second pass")
    world.ask(_steer)
    world.ask(_take_over)

    async def make_group(planes: Planes) -> None:
        client = Client(planes, world.registry, Settings())
        pages = [client.job("note", {"about": f"page {number}"}, id=f"page-{number}") for number in range(4)]
        await client.submit_group(pages, then=client.job("chapter", {"about": "book"}, id="book"))

    world.ask(make_group)


async def _take_over(planes: Planes) -> None:
    """Have a job begun by one worker, and taken over by another."""
    job = Registry([note]).new_job("note", Note(about="over"), id="over", trace=tagged(_TRACE, ["nightly", "eu-west"]))
    await planes.store.submit([job])
    for token, owner in enumerate(_WORKERS, 11):
        assert isinstance(await planes.store.open(job.envelope, Fence(token, f"n{token}", owner)), Opened)
    await planes.coordinator.assign(Partition("note", 1), _WORKERS[1])


async def _steer(planes: Planes) -> None:
    for owner in _WORKERS:
        await planes.coordinator.heartbeat(Member(owner, ("note", "chapter"), 0.004), ttl=900)
    await planes.broker.declare("note", 4)
    await planes.coordinator.claim("leader/note/0", owner=_WORKERS[0], nonce="l", ttl=900)
    await planes.coordinator.claim("note/r", owner=_WORKERS[1], nonce="r", ttl=900, limits=[Limit("gpu", 2)])
    await planes.coordinator.note_waiting(_WORKERS[0], [Waiting(_WORKERS[0], "gpu", 3, ("hostile",))], ttl=900)
    await planes.inspection.pause(Scope("errand"), by="ann", reason="the mail server moves")
    for number in range(3):
        detail = f"{number} jobs tried again"
        await planes.inspection.note_action(
            by="ann", what="requeue-all", subject="OSError: no room on disk", detail=detail
        )
