"""jobkit: jobs that happen once and in order, however badly the network behaves."""

from typing import TYPE_CHECKING, Any

from jobkit.errors import JobkitError, Reject, Retry, Snooze
from jobkit.model.notice import EndState
from jobkit.plugin.context import Context
from jobkit.plugin.hooks import CancelledEvent, CommittedEvent, DeadEvent, FailedEvent, hook
from jobkit.plugin.job_info import JobInfo
from jobkit.plugin.limits import Concurrency, Rate
from jobkit.plugin.middleware import around_attempt, around_submit
from jobkit.plugin.notification import JobEnd, Notification
from jobkit.plugin.payload import Payload, Result
from jobkit.plugin.processor import Processor, processor
from jobkit.plugin.resource import Resource, resource
from jobkit.plugin.retry import RetryPolicy
from jobkit.plugin.schedule import DeclaredSchedule, schedule
from jobkit.plugin.sync_context import SyncContext
from jobkit.projections.projection import Projection

if TYPE_CHECKING:
    from jobkit.client.client import Client
    from jobkit.client.connect import connect
    from jobkit.client.schedules import ScheduleBook, ScheduleStatus
    from jobkit.client.submission import Submission
    from jobkit.client.sync import SyncClient
    from jobkit.handles import Handle, Progress, SyncHandle
    from jobkit.plugin.type_definition import TypeDefinition
    from jobkit.ports.inspection import Cancellation, PriorityChange

__all__ = [
    "Cancellation",
    "CancelledEvent",
    "Client",
    "CommittedEvent",
    "Concurrency",
    "Context",
    "DeadEvent",
    "DeclaredSchedule",
    "EndState",
    "FailedEvent",
    "Handle",
    "JobEnd",
    "JobInfo",
    "JobkitError",
    "Notification",
    "Payload",
    "PriorityChange",
    "Processor",
    "Progress",
    "Projection",
    "Rate",
    "Reject",
    "Resource",
    "Result",
    "Retry",
    "RetryPolicy",
    "ScheduleBook",
    "ScheduleStatus",
    "Snooze",
    "Submission",
    "SyncClient",
    "SyncContext",
    "SyncHandle",
    "TypeDefinition",
    "around_attempt",
    "around_submit",
    "connect",
    "hook",
    "processor",
    "resource",
    "schedule",
]

# Only programs that submit need these, and they bring a backend and telemetry with them: a plugin does without.
_ON_DEMAND = {
    "Cancellation": "jobkit.ports.inspection",
    "Client": "jobkit.client.client",
    "Handle": "jobkit.handles",
    "Progress": "jobkit.handles",
    "PriorityChange": "jobkit.ports.inspection",
    "ScheduleBook": "jobkit.client.schedules",
    "ScheduleStatus": "jobkit.client.schedules",
    "Submission": "jobkit.client.submission",
    "SyncClient": "jobkit.client.sync",
    "SyncHandle": "jobkit.handles",
    "TypeDefinition": "jobkit.plugin.type_definition",
    "connect": "jobkit.client.connect",
}


def __getattr__(name: str) -> Any:
    if name not in _ON_DEMAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_ON_DEMAND[name]), name)
