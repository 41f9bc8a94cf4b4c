"""The relay: carries accepted jobs from the store's outbox to the broker.

It promises that each is published at least once and that a key's jobs are published in their order. It does not
promise once: two relays may publish the same entry, and the store drops the second delivery.

Each partition is published at a pace of its own. One that is in trouble is probed with single messages after growing
pauses, and what waits for it is in nobody's way.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext

import anyio

from jobkit.client.layouts import Layouts
from jobkit.client.publish_pace import Pace
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.partition import Partition
from jobkit.model.plane import Plane
from jobkit.ports.broker import Answer, Broker, Deferred, InDoubt, Published, Rejected
from jobkit.ports.store import OutboxEntry, Store
from jobkit.telemetry import Telemetry
from jobkit.telemetry.spans import batch_span

# One publish call carries at most this many, so that a long outbox does not become one huge request.
BATCH = 500
# How long the broker is given to confirm one batch, and for all that may be needed before, such as a connection.
CONFIRM_SECONDS = 2.0
_PREPARE_SECONDS = 4.0
# A broker that could not be reached is asked again after at most this long.
_MOST_PAUSE_SECONDS = 2.0

# Where a partition is being opened after a change, so many pages of the outbox are looked through for older jobs. With
# more in it, what is new is left there, to those who publish it in its turn.
_OPENING_PAGES = 4

_MOVING = Deferred("the number of its type's partitions is being changed")
# Unlike other deferred ones, such a job is not to be published before what is older.
GATHERED = Deferred("the number of its type's partitions was changed, and older jobs are published first")


class Relay:
    """Publishes entries of the outbox, and deletes there those that the broker has."""

    def __init__(
        self,
        store: Store,
        broker: Broker,
        *,
        layouts: Layouts,
        clock: Clock,
        telemetry: Telemetry,
        rng: random.Random | None = None,
    ) -> None:
        self._store = store
        self._broker = broker
        self._layouts = layouts
        self._clock = clock
        self._telemetry = telemetry
        self._rng = rng or random.Random()  # noqa: S311  (jitter, not secrets)
        self._declared: dict[str, int] = {}
        self._paces: dict[Partition, Pace] = {}
        self._way = Pace(self._rng, most=_MOST_PAUSE_SECONDS)
        self._landed = anyio.Event()

    def partition(self, entry: OutboxEntry) -> Partition:
        """Return the partition that an entry's message goes to."""
        envelope = entry.envelope
        return self._layouts.partition(envelope.type, envelope.key).band(envelope.priority)

    def pace(self, partition: Partition) -> Pace:
        """Return the pace of a partition."""
        pace = self._paces.get(partition)
        if pace is None:
            pace = self._paces[partition] = Pace(self._rng)
        return pace

    @property
    def waits(self) -> bool:
        """Return whether the broker is out of reach, and not to be asked again yet."""
        return self._way.waits(self._clock.now())

    @property
    def gathers(self) -> bool:
        """Return whether jobs of any type are left in the outbox, to be published in their turn."""
        return any(layout.gathered for layout in self._layouts.known.values())

    @property
    def generation(self) -> int:
        """A number that is another one as soon as entries may belong to other partitions."""
        return self._layouts.generation

    def gathered(self, partition: Partition) -> bool:
        """Return whether a partition's entries are left in the outbox, each to be published after those before it."""
        return partition.index in self._layouts.of(partition.type).gathered

    async def publish(
        self, entries: Sequence[OutboxEntry], *, confirm: float = CONFIRM_SECONDS, swept: int | None = None
    ) -> Sequence[Answer]:
        """Publish `entries` in order, and delete those that are in from the outbox; return an answer for each.

        `swept`: they were read from the outbox, and those of their partitions before them are published, by layouts of
        this generation. It takes a few seconds at most for each batch. What is in trouble already is deferred at once,
        and so is what is of a type whose partitions are being changed, and after a change, until they were swept, what
        is not.
        """
        types = {entry.envelope.type for entry in entries}
        if not self._layouts.fresh(types):
            await self._look(types)
        generation = self._layouts.generation
        in_turn = swept == generation
        moving = {type for type in types if self._layouts.of(type).moving}
        waiting: dict[Partition, deque[OutboxEntry]] = {}
        answers: dict[int, Answer] = {}
        for entry in entries:
            if entry.envelope.type in moving:
                answers[entry.position] = _MOVING
            elif not in_turn and self.gathered(self.partition(entry)):
                answers[entry.position] = GATHERED
            else:
                waiting.setdefault(self.partition(entry), deque()).append(entry)
        if not in_turn:
            await self._put_older_first(waiting, answers)
        with anyio.move_on_after((_PREPARE_SECONDS + confirm) * (1 + len(entries) // BATCH)) as bound:
            await self._publish(waiting, answers, confirm, generation)
        if bound.cancelled_caught:
            self._way.went_wrong(self._clock.now())
        late = InDoubt("the broker did not answer in time")
        return [answers.get(entry.position, late) for entry in entries]

    async def _look(self, types: Collection[str]) -> None:
        try:
            await self._layouts.refresh(types)
        except Unavailable as error:
            # What goes to another partition than its key's is moved on from there.
            self._telemetry.connection_lost(error.plane, "reading the numbers of partitions", error)

    async def _put_older_first(self, waiting: dict[Partition, deque[OutboxEntry]], answers: dict[int, Answer]) -> None:
        """Add what is older of the same keys where partitions are being opened; defer where that cannot be known."""
        opening = [one for one in waiting if one.index in self._layouts.of(one.type).opening]
        if not opening:
            return
        entries = [entry for partition in opening for entry in waiting[partition]]
        try:
            older = await self._older(entries)
            unknown = GATHERED
        except Unavailable as error:
            older, unknown = None, Deferred(str(error))
        if older is None:
            for partition in opening:
                answers |= {entry.position: unknown for entry in waiting.pop(partition)}
            return
        found = {entry.position: entry for entry in [*older, *entries]}
        for partition in opening:
            del waiting[partition]
        for _, entry in sorted(found.items()):
            # Another one than any before where its priority is another one, or where the layout has changed meanwhile.
            waiting.setdefault(self.partition(entry), deque()).append(entry)

    async def _older(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry] | None:
        """Return what is in the outbox of the keys of `entries`, up to the last of these; None if it holds too much."""
        keys = {(entry.envelope.type, entry.envelope.key) for entry in entries}
        last = max(entry.position for entry in entries)
        found: list[OutboxEntry] = []
        after = 0
        for _ in range(_OPENING_PAGES):
            page = await self._store.outbox(older_than=-1, limit=BATCH, after=after)
            found += [one for one in page if one.position < last and (one.envelope.type, one.envelope.key) in keys]
            if len(page) < BATCH or page[-1].position >= last:
                return found
            after = page[-1].position
        return None

    async def _publish(
        self, waiting: dict[Partition, deque[OutboxEntry]], answers: dict[int, Answer], confirm: float, generation: int
    ) -> None:
        while waiting:
            if self._layouts.generation != generation:
                answers |= {entry.position: GATHERED for queue in waiting.values() for entry in queue}
                return
            for partition, why in self._not_now(waiting).items():
                answers |= {entry.position: why for entry in waiting.pop(partition)}
            well, probed = self._next(waiting)
            if not well and not probed:
                if waiting:
                    # As much as may be under way is; who has it will say when it has landed.
                    await self._landed.wait()
                continue
            if not probed:
                answers |= await self._send(well, confirm)
                continue
            async with anyio.create_task_group() as tasks:
                # Each by itself: whether a probe is answered is its own partition's affair.
                for batch in [well, *probed] if well else probed:
                    tasks.start_soon(self._send_into, answers, batch, confirm)

    def _not_now(self, waiting: Mapping[Partition, object]) -> dict[Partition, Deferred]:
        """Return the partitions that nothing may be sent to now because of earlier trouble."""
        now = self._clock.now()
        if self._way.waits(now):
            return dict.fromkeys(waiting, Deferred("the broker could not be reached a moment ago"))
        return {
            partition: Deferred("its partition is in trouble")
            for partition in waiting
            if self.pace(partition).waits(now)
        }

    def _next(self, waiting: dict[Partition, deque[OutboxEntry]]) -> tuple[list[OutboxEntry], list[list[OutboxEntry]]]:
        """Take what may be sent now out of `waiting`: one batch of all that are well, and one for each probe."""
        now = self._clock.now()
        well: list[OutboxEntry] = []
        probed = []
        for partition in list(waiting):
            queue, pace = waiting[partition], self.pace(partition)
            room = pace.room(now) if pace.failures else min(pace.room(now), BATCH - len(well))
            batch = [queue.popleft() for _ in range(min(room, len(queue)))]
            pace.under_way += len(batch)
            if not queue:
                del waiting[partition]
            if pace.failures and batch:
                probed.append(batch)
            else:
                well += batch
        return well, probed

    async def _send_into(self, answers: dict[int, Answer], batch: Sequence[OutboxEntry], confirm: float) -> None:
        answers |= await self._send(batch, confirm)

    async def _send(self, batch: Sequence[OutboxEntry], confirm: float) -> dict[int, Answer]:
        """Publish one batch that is counted as under way; return the answers by position."""
        routed = [self.partition(entry) for entry in batch]
        self._way.under_way += 1
        try:
            answers = await self._hand_over(batch, routed, confirm)
        finally:
            self._way.under_way -= 1
            for partition in routed:
                self.pace(partition).under_way -= 1
            landed, self._landed = self._landed, anyio.Event()
            landed.set()
        self._note(routed, answers)
        published = [
            entry.position for entry, answer in zip(batch, answers, strict=True) if isinstance(answer, Published)
        ]
        if published:
            try:
                await self._store.published(published)
            except Unavailable as error:
                # They are published again, and dropped as duplicates.
                self._telemetry.connection_lost(error.plane, "deleting what is published from the outbox", error)
        return {entry.position: answer for entry, answer in zip(batch, answers, strict=True)}

    async def _hand_over(
        self, batch: Sequence[OutboxEntry], routed: Sequence[Partition], confirm: float
    ) -> Sequence[Answer]:
        """Declare what is new, and publish; a type that cannot be declared keeps no other from being published."""
        undeclared: dict[str, Deferred] = {}
        try:
            for type in dict.fromkeys(partition.type for partition in routed):
                queues = self._layouts.of(type).led
                if self._declared.get(type) == queues:
                    continue
                try:
                    await self._broker.declare(type, queues)
                except ConfigurationError as error:
                    undeclared[type] = Deferred(str(error))
                else:
                    self._declared[type] = queues
            if not undeclared:
                answers = await self._publish_batch(batch, routed, confirm)
            else:
                those = [number for number, partition in enumerate(routed) if partition.type not in undeclared]
                answers = [undeclared.get(partition.type, Deferred("")) for partition in routed]
                if those:
                    sent = await self._publish_batch(
                        [batch[number] for number in those], [routed[number] for number in those], confirm
                    )
                    for number, answer in zip(those, sent, strict=True):
                        answers[number] = answer
        except (Unavailable, ConfigurationError) as error:
            self._way.went_wrong(self._clock.now())
            self._telemetry.connection_lost(Plane.BROKER, "publishing the outbox", error)
            return [Deferred(str(error))] * len(batch)
        self._way.went_well()
        return answers

    async def _publish_batch(
        self, batch: Sequence[OutboxEntry], routed: Sequence[Partition], confirm: float
    ) -> list[Answer]:
        started = self._clock.now()
        types = Counter(partition.type for partition in routed)
        span = (
            batch_span(self._telemetry.tracer, "publish", [entry.envelope for entry in batch])
            if self._telemetry.traced
            else nullcontext()
        )
        messages = [(partition, entry.envelope) for partition, entry in zip(routed, batch, strict=True)]
        try:
            with span:
                answers = list(await self._broker.publish(messages, timeout=confirm))
        except (Unavailable, ConfigurationError) as error:
            self._telemetry.published(types, self._clock.now() - started, error.__class__.__name__)
            raise
        seconds = self._clock.now() - started
        failed: dict[str, Counter[str]] = {}
        for partition, answer in zip(routed, answers, strict=True):
            if not isinstance(answer, Published):
                failed.setdefault(answer.__class__.__name__, Counter())[partition.type] += 1
        for kind, number in failed.items():
            self._telemetry.published(number, seconds, kind)
            types -= number
        if types:
            self._telemetry.published(types, seconds)
        return answers

    def _note(self, routed: Sequence[Partition], answers: Sequence[Answer]) -> None:
        """Set the pace of each partition by what became of its messages."""
        trouble: dict[Partition, Deferred | InDoubt] = {}
        for partition, answer in zip(routed, answers, strict=True):
            if isinstance(answer, (Deferred, InDoubt)):
                trouble.setdefault(partition, answer)
        if trouble and self._way.failures:
            # It is the broker's as a whole.
            return
        for partition in dict.fromkeys(routed):
            pace = self.pace(partition)
            if (met := trouble.get(partition)) is not None:
                if not pace.failures:
                    self._telemetry.publishing_held_up(str(partition), partition.type, *_told(met))
                pace.went_wrong(self._clock.now())
            else:
                if pace.failures:
                    self._telemetry.publishing_resumed(str(partition))
                pace.went_well()


def _told(met: Deferred | InDoubt) -> tuple[str, str]:
    """Return what kind of trouble it is, and what was said of it."""
    return ("unconfirmed" if isinstance(met, InDoubt) else "refused"), met.reason


def left(answers: Sequence[Answer]) -> int:
    """Return how many of the messages are not published, and may be later."""
    return sum(not isinstance(answer, (Published, Rejected)) for answer in answers)
