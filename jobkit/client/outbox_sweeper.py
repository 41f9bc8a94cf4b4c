"""The sweeper: sees to it that everything in the outbox is published, whoever accepted it and whatever happened since.

It publishes what commits of this process released at once, and after a while what others left behind. Of several
processes each sweeps partitions of its own, so that a backlog is published by one of them.

What waits behind trouble costs little: it is looked at again when its partition's pause is over, from the first entry
that waits for it on, and otherwise only in a pass over the whole outbox, the rarer the longer that is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import anyio
from anyio.abc import TaskGroup

from jobkit.client.relay import BATCH, GATHERED, Relay
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.envelope import Envelope
from jobkit.model.partition import Partition
from jobkit.model.plane import Plane
from jobkit.ports.broker import Broker, InDoubt, Published, Rejected
from jobkit.ports.store import OutboxEntry, Store
from jobkit.telemetry import Telemetry

# A commit waits for nobody, so the broker is given longer here than where somebody waits for a submit.
_CONFIRM_SECONDS = 5.0
# An outbox of so many pages is passed over in every look; of a longer one, each page earns a pause, in seconds.
_SHORT_PAGES = 2
_PAUSE_FOR_PAGE_SECONDS = 0.5
_MOST_PAUSE_SECONDS = 60.0
# After the number of partitions was changed, what gathers in the outbox is published so often. Each time it is read
# again from where it was read to so many times before: an entry can become visible behind others.
_GATHERED_SECONDS = 0.2
_GATHERED_LOOKS = 10
# So many rejected entries are remembered; others are tried again.
_REJECTED_KEPT = 1_000

# Tells whether the partition is this process's to sweep.
Sweeps = Callable[[Partition], bool]
# Dead-letters an accepted job that can never be published, with the reason; False where it is not its turn yet.
Bury = Callable[[Envelope, str], Awaitable[bool]]
# Tells whether every job that a partition's queue may hold would be published again.
Covered = Callable[[Partition], Awaitable[bool]]


class Sweeper:
    """Publishes entries that it is handed, and those left behind in the partitions that `sweeps` names."""

    def __init__(
        self,
        relay: Relay,
        store: Store,
        broker: Broker,
        *,
        grace: float,
        sweeps: Sweeps,
        bury: Bury,
        covered: Covered,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._relay = relay
        self._store = store
        self._broker = broker
        self._grace = grace
        self._sweeps = sweeps
        self._bury = bury
        self._covered = covered
        self._clock = clock
        self._telemetry = telemetry
        self._handed: deque[OutboxEntry] = deque(maxlen=10 * BATCH)
        self._wake = anyio.Event()
        # The first entry that waits for each partition, as far as is known.
        self._waiting: dict[Partition, int] = {}
        self._catching_up: set[Partition] = set()
        self._rejected: dict[int, str] = {}
        self._seen = 0
        self._gathered_to: deque[int] = deque([0], maxlen=_GATHERED_LOOKS)
        self._pass_at = float("-inf")
        self._generation = relay.generation

    def hand(self, entries: Sequence[OutboxEntry]) -> None:
        """Take entries that a commit released, to be published soon; beyond a bound they wait for the next sweep."""
        if entries:
            self._handed.extend(entries)
            self._wake.set()

    async def run(self) -> None:
        """Publish what is handed over and what is left behind, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._publish_handed)
            tasks.start_soon(self._publish_left, tasks)

    async def _publish_handed(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            while self._handed:
                batch = [self._handed.popleft() for _ in range(min(len(self._handed), BATCH))]
                try:
                    await self._publish(batch)
                except Unavailable as error:
                    # What is not published stays in the outbox for the next sweep.
                    self._telemetry.connection_lost(error.plane, "publishing the outbox", error)

    async def _publish_left(self, tasks: TaskGroup) -> None:
        while True:
            gathers = self._relay.gathers
            await self._clock.sleep(min(self._grace, _GATHERED_SECONDS) if gathers else self._grace)
            if self._relay.waits:
                continue
            if self._outdated:
                self._begin_anew()
            try:
                await self._look(tasks)
                if gathers:
                    await self._publish_gathered()
            except Unavailable as error:
                self._telemetry.connection_lost(error.plane, "publishing the outbox", error)

    @property
    def _outdated(self) -> bool:
        """Return whether what is known of the outbox was found by layouts of before."""
        return self._generation != self._relay.generation

    def _begin_anew(self) -> None:
        """Look at the whole outbox next: what waits may belong to other partitions than before."""
        self._generation = self._relay.generation
        self._waiting.clear()
        self._gathered_to = deque([0], maxlen=_GATHERED_LOOKS)
        self._pass_at = float("-inf")

    async def _look(self, tasks: TaskGroup) -> None:
        """Publish what is new in the outbox, or all that is in it, except where there is trouble."""
        self._catch_up_where_due(tasks)
        now = self._clock.now()
        whole = now >= self._pass_at
        after = 0 if whole else self._seen
        pages = 0
        while page := await self._page(after):
            after, pages = page[-1].position, pages + 1
            await self._publish(page, swept=self._generation)
            if self._relay.waits or self._outdated:
                return
        self._seen = max(self._seen, after)
        if whole and pages > _SHORT_PAGES:
            # Entries of a transaction that took long may be behind what was seen, so all are looked at, now and then.
            self._pass_at = now + min(pages * _PAUSE_FOR_PAGE_SECONDS, _MOST_PAUSE_SECONDS)

    async def _publish_gathered(self) -> None:
        """Publish what is left to sweepers, however new it is: nobody else does."""
        after = self._gathered_to[0]
        while page := await self._store.outbox(older_than=-1, limit=BATCH, after=after):
            after = page[-1].position
            gathered = [entry for entry in page if self._relay.gathered(self._relay.partition(entry))]
            await self._publish(gathered, swept=self._generation)
            if self._relay.waits or self._outdated:
                return
        self._gathered_to.append(after)

    async def _page(self, after: int) -> Sequence[OutboxEntry]:
        return await self._store.outbox(older_than=self._grace, limit=BATCH, after=after)

    async def _publish(self, entries: Sequence[OutboxEntry], *, swept: int | None = None) -> None:
        """Publish what is this process's to publish, in no trouble and behind nothing; note where the rest waits."""
        ready = []
        for entry in entries:
            partition = self._relay.partition(entry)
            if self._is_behind(partition) or self._relay.pace(partition).failures or not self._sweeps(partition):
                self._wait(partition, entry)
            else:
                ready.append(entry)
        await self._carry(ready, swept=swept)

    def _is_behind(self, partition: Partition) -> bool:
        """Return whether earlier entries of a partition wait, as before it was this process's to sweep."""
        return partition in self._waiting or partition in self._catching_up

    async def _carry(self, entries: Sequence[OutboxEntry], *, swept: int | None) -> bool:
        """Publish entries, and bury those that no broker takes; tell whether none of the others waits on."""
        fresh = [entry for entry in entries if entry.position not in self._rejected]
        answers = await self._relay.publish(fresh, confirm=_CONFIRM_SECONDS, swept=swept) if fresh else ()
        done = True
        for entry, answer in zip(fresh, answers, strict=True):
            if isinstance(answer, Rejected):
                self._reject(entry, answer.reason)
            elif answer is GATHERED:
                # Found where it is, after what is older.
                done = False
            elif not isinstance(answer, Published):
                self._wait(self._relay.partition(entry), entry)
                done = False
        for entry in [entry for entry in entries if entry.position in self._rejected]:
            await self._bury_one(entry, self._rejected[entry.position])
        doubtful = [entry for entry, answer in zip(fresh, answers, strict=True) if isinstance(answer, InDoubt)]
        for partition in {self._relay.partition(entry) for entry in doubtful}:
            await self._rebuild(partition)
        return done

    def _wait(self, partition: Partition, entry: OutboxEntry) -> None:
        self._waiting[partition] = min(entry.position, self._waiting.get(partition, entry.position))

    async def _page_of(self, partition: Partition, after: int) -> Sequence[OutboxEntry]:
        grace = -1 if self._relay.gathered(partition) else self._grace
        return await self._store.outbox(older_than=grace, limit=BATCH, after=after)

    # ---- what the broker never takes -----------------------------------------------------------------------------

    def _reject(self, entry: OutboxEntry, reason: str) -> None:
        self._rejected[entry.position] = reason
        while len(self._rejected) > _REJECTED_KEPT:
            del self._rejected[next(iter(self._rejected))]

    async def _bury_one(self, entry: OutboxEntry, reason: str) -> None:
        """Dead-letter a job, then forget its entry; where it is not its turn yet, it is looked at again."""
        if await self._bury(entry.envelope, f"cannot be published: {reason}"):
            await self._store.published([entry.position])
            self._rejected.pop(entry.position, None)

    # ---- catching up ---------------------------------------------------------------------------------------------

    def _catch_up_where_due(self, tasks: TaskGroup) -> None:
        now = self._clock.now()
        for partition in list(self._waiting):
            due = self._sweeps(partition) and not self._relay.pace(partition).waits(now)
            if due and partition not in self._catching_up:
                self._catching_up.add(partition)
                tasks.start_soon(self._catch_up, partition)

    async def _catch_up(self, partition: Partition) -> None:
        """Publish what waits for one partition, in its order, until all is in or there is trouble again."""
        after, generation = self._waiting.pop(partition) - 1, self._generation
        try:
            while page := await self._page_of(partition, after):
                mine = [entry for entry in page if self._relay.partition(entry) == partition]
                if mine and not await self._carry(mine, swept=generation):
                    return
                if generation != self._relay.generation:
                    return
                after = page[-1].position
        except Unavailable as error:
            self._waiting[partition] = min(after + 1, self._waiting.get(partition, after + 1))
            self._telemetry.connection_lost(error.plane, "publishing the outbox", error)
        finally:
            self._catching_up.discard(partition)

    async def _rebuild(self, partition: Partition) -> None:
        """Have the broker make a queue anew that does not confirm, where that loses nothing."""
        try:
            if await self._broker.rebuild(partition, lambda: self._covered(partition)):
                self._telemetry.queue_rebuilt(str(partition), partition.type)
                self._relay.pace(partition).begin_anew()
        except (Unavailable, ConfigurationError) as error:
            self._telemetry.connection_lost(Plane.BROKER, f"making the queue of {partition} anew", error)
