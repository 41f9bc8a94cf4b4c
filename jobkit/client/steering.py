"""What people and programs do with jobs that were accepted: cancel them, change their priority, pause their types."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from jobkit.client import job_groups, matching
from jobkit.client.known_scopes import check_partition, check_type
from jobkit.client.layouts import Layouts
from jobkit.client.relay import Relay
from jobkit.errors import NotTransactional
from jobkit.model.ids import user_at_host
from jobkit.model.job_filter import JobFilter
from jobkit.model.job_state import UNFINISHED, WAITING, JobState
from jobkit.model.pause import Pause, Scope
from jobkit.model.priority import PriorityName, priority_of
from jobkit.plugin.registry import Registry
from jobkit.ports.broker import Published
from jobkit.ports.inspection import (
    STATES_AT_ONCE,
    Cancellation,
    JobRecord,
    PriorityChange,
)
from jobkit.ports.planes import Planes
from jobkit.ports.store import OutboxEntry
from jobkit.ports.transactions import TransactionalStore


class Steering:
    """The part of a client that steers accepted jobs."""

    _planes: Planes
    _registry: Registry
    _relay: Relay
    _layouts: Layouts

    async def cancel(self, id: str, *, reason: str = "", by: str | None = None, connection: Any = None) -> Cancellation:
        """End a job that has yet to end, wherever it is; once this says `cancelled`, the job never commits.

        A running attempt is told within a second. On an ordered key the job gives up its turn. `by` (who runs this
        process, unless it is given) and `reason` are kept with the job. With a `connection` it is part of the
        transaction that is open there, as for `submit`: the job is cancelled when that commits.

        Raises `Unavailable` where the store does not answer: cancel again to be sure. With a connection also
        `NotTransactional` or `ConfigurationError`.
        """
        by = user_at_host() if by is None else by
        if connection is None:
            (answer,) = await self._planes.inspection.cancel([id], by=by, reason=reason)
        else:
            (answer,) = await self._transactions("cancelling").cancel_in(connection, [id], by=by, reason=reason)
        return answer

    async def cancel_all(
        self,
        type: str,
        *,
        key: str | None = None,
        states: Sequence[JobState] = UNFINISHED,
        reason: str = "",
        by: str | None = None,
    ) -> int:
        """Cancel all jobs of a type, or of one of its keys, that are in one of `states` as it happens; return how many.

        What is submitted after this has begun is left alone. It is done in pages, each of them one transaction, so that
        what is cancelled stays so where it is broken off: begin anew for the rest. Raises `Unavailable`, and
        `UnknownType` where nobody knows the type, or for one of a group: a group's jobs are cancelled by its name.
        """
        self._registry.refuse_member(type)
        upto = await self._planes.store.horizon()
        by = user_at_host() if by is None else by
        cancelling = matching.cancel(
            self._planes.inspection, JobFilter(type, key), states, upto=upto, by=by, reason=reason
        )
        found = sum([cancelled async for cancelled in cancelling])
        if not found:
            await self._check_type(type)
        return found

    async def cancel_group(self, id: str, *, reason: str = "", by: str | None = None) -> int:
        """Cancel what is left of a group and of the groups within it, `then` first; return how many jobs.

        None of them ever commits. It is done in pages: begin anew where it is broken off. Raises `JobNotFound`, or
        `Unavailable`.
        """
        await job_groups.found_group(self._planes.store, id)
        by = user_at_host() if by is None else by
        return await job_groups.cancel(self._planes.store, self._planes.inspection, id, by=by, reason=reason)

    async def reprioritize(self, id: str, priority: PriorityName) -> PriorityChange:
        """Change the priority of a job that waits, be it due or scheduled; what runs or has ended stays as it is.

        Once this says `changed`, the job is begun as one of that priority, and once only, whatever message of it comes
        first. Raises `ValueError` where its type does not know that priority, `UnknownType`, or `Unavailable`.
        """
        (answer,) = await self.reprioritize_many([id], priority)
        return answer

    async def reprioritize_many(self, ids: Sequence[str], priority: PriorityName) -> Sequence[PriorityChange]:
        """Change the priority of jobs as `reprioritize` does, in one transaction; one answer for each."""
        wanted = priority_of(priority)
        records: list[JobRecord] = []
        for start in range(0, len(ids), STATES_AT_ONCE):
            page = await self._planes.inspection.records(ids[start : start + STATES_AT_ONCE])
            records += page.values()
        for type in sorted({record.type for record in records if not record.state.ended}):
            self._registry.check_priority(type, wanted)
        return await self._publish_changed(await self._planes.inspection.reprioritize(ids, wanted))

    async def reprioritize_all(self, type: str, priority: PriorityName, *, key: str | None = None) -> int:
        """Change the priority of all jobs of a type, or of one of its keys, that wait; return how many.

        It is done in pages, each of them one transaction. What is submitted after this has begun is left alone. Errors
        as for `reprioritize`; a group's jobs are named by the group.
        """
        wanted = self._registry.check_priority(type, priority)
        upto = await self._planes.store.horizon()
        changed = 0
        async for page in matching.pages(self._planes.inspection, JobFilter(type, key), WAITING, upto=upto):
            answers = await self._publish_changed(await self._planes.inspection.reprioritize(page, wanted))
            changed += sum(answer.changed for answer in answers)
        return changed

    async def _publish_changed(self, answers: Sequence[PriorityChange]) -> Sequence[PriorityChange]:
        await self._publish([answer.entry for answer in answers if answer.entry is not None])
        return answers

    async def pause(
        self,
        type: str,
        *,
        partition: int | None = None,
        key: str | None = None,
        reason: str = "",
        by: str | None = None,
        unseen: bool = False,
    ) -> Pause:
        """Have no more jobs of a type begun, or of one of its partitions or keys; what runs goes on, nothing is lost.

        Workers hear of it within a second. It lasts until it is resumed. What was paused before stays as it was.
        A type that nobody knows yet is paused if it is said to be `unseen`; a group's jobs are paused by its name.

        Raises `UnknownType`, `ConfigurationError` where the type has no such partition, `ValueError` where both a
        partition and a key are named, or too much is paused already, or `Unavailable`.
        """
        scope = Scope(type, partition, key)
        self._registry.refuse_member(type)
        if not unseen:
            await self._check_type(type)
        await check_partition(self._layouts, scope)
        return await self._planes.inspection.pause(scope, by=user_at_host() if by is None else by, reason=reason)

    async def resume(self, type: str, *, partition: int | None = None, key: str | None = None) -> Pause | None:
        """End the pause of just this type, partition or key, and return it; None where there was none."""
        return await self._planes.inspection.resume(Scope(type, partition, key))

    async def pauses(self) -> Sequence[Pause]:
        """Return all that is paused: by whom, since when, and why."""
        return await self._planes.store.pauses()

    async def _check_type(self, type: str) -> None:
        if type not in self._registry.kept():
            await check_type(self._planes.inspection, lambda: self._registry, type)

    def _transactions(self, doing: str) -> TransactionalStore:
        if self._planes.transactions is None:
            raise NotTransactional(f"{doing} in a transaction of your own")
        return self._planes.transactions

    async def _publish(self, entries: Sequence[OutboxEntry]) -> Collection[str]:
        """Publish what was accepted; return the ids of what is. What is not, is a worker's to publish."""
        answers = await self._relay.publish(entries)
        return {
            entry.envelope.id for entry, answer in zip(entries, answers, strict=True) if isinstance(answer, Published)
        }
