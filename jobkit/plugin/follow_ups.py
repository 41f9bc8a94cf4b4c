"""What makes a job of a payload, for those that submit within a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from jobkit.model.unique import Unique
from jobkit.plugin.notification import Notification
from jobkit.plugin.payload import Payload
from jobkit.ports.store import NewJob


class FollowUps(Protocol):
    """Makes a follow-up job of a payload; the runtime's registry knows how."""

    def new_job(
        self,
        type: str,
        payload: Payload | Mapping[str, Any],
        *,
        key: str | None,
        id: str | None,
        submitted_at: float,
        trace: Mapping[str, str],
        at: datetime | None,
        after: timedelta | None,
        expires: datetime | timedelta | None,
        priority: str | None,
        tenant: str | None,
        unique: Unique | None,
    ) -> NewJob:
        """Return the job. Raises `UnknownType`, `PayloadInvalid` or `ValueError`."""
        ...

    def noticed(self, job: NewJob, notify: Sequence[Notification]) -> NewJob:
        """Return a job whose end is told so. Raises `UnknownType`, `PayloadInvalid` or `ValueError`."""
        ...

    def type_of(self, job: Payload, said_by: str) -> str:
        """Return the one type that takes this payload. Raises `ValueError`."""
        ...
