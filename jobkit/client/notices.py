"""`notify=` of a submit: from what a caller wants told to what goes with the job."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.client.published_types import PublishedTypes
from jobkit.client.published_types import new_job as published_job
from jobkit.errors import UnknownType
from jobkit.model.envelope import Envelope
from jobkit.model.notice import Notice
from jobkit.plugin.notification import FIELD, Notification, completed, notice_of, noticed
from jobkit.plugin.registry import Registry
from jobkit.ports.store import NewJob


class Notices:
    """Adds notices to jobs; their types are those whose code is here, and those that workers have published."""

    def __init__(self, registry: Registry, published: PublishedTypes) -> None:
        self._registry = registry
        self._published = published

    def with_code(self, job: NewJob, notify: Sequence[Notification]) -> NewJob:
        """Return a job whose end is told by types whose code is here. Raises as `Registry.noticed`."""
        if not notify:
            return job
        return self._registry.noticed(job, notify)

    async def added(self, job: NewJob, notify: Sequence[Notification]) -> NewJob:
        """Return a job whose end is told so. Raises as `with_code`, or `Unavailable`."""
        if not notify:
            return job
        return noticed(job, [await self._notice(one, job.envelope) for one in notify])

    async def _notice(self, told: Notification, of: Envelope) -> Notice:
        if told.type in self._registry.processors:
            return self._registry.notice(told, of)
        return await self._without_code(told, of)

    async def _without_code(self, told: Notification, of: Envelope) -> Notice:
        type = await self._published.get(told.type)
        if type is None:
            raise UnknownType(
                f"nobody can be notified by a job of type {told.type!r}: its code is not here, and no worker has "
                "published it"
            )
        says_end = FIELD in type.payload.get("properties", {})
        type, values = await self._published.passed(type, completed(told, of) if says_end else told.payload)
        job = published_job(type, values, max_bytes=self._registry.max_payload_bytes, key=told.key)
        return notice_of(told, job, says_end=says_end)
