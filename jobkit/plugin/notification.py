"""What is to be told of a job that takes effect: a follow-up job, made in the same commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobkit.plugin.job_info import JobInfo
from jobkit.plugin.payload import Payload


@dataclass(frozen=True, slots=True)
class Notification:
    """A job of `type` with this payload; the key is derived from it unless it is given."""

    type: str
    payload: Payload
    key: str | None = None


# Makes the notification of a payload, the result and the job, or None where nobody is to be told.
Notify = Callable[[Any, Any, JobInfo], Notification | None]
