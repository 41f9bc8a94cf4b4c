"""jobkit: jobs that happen once and in order, however badly the network behaves."""

from typing import TYPE_CHECKING, Any

from jobkit.lazy_names import load

if TYPE_CHECKING:
    from jobkit.client.client import Client
    from jobkit.client.connect import connect
    from jobkit.client.schedules import ScheduleBook, ScheduleStatus
    from jobkit.client.submission import Submission
    from jobkit.client.sync import SyncClient
    from jobkit.errors import JobkitError, Reject, Retry, Snooze
    from jobkit.handles import Handle, Progress, SyncHandle
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
    from jobkit.plugin.type_definition import TypeDefinition
    from jobkit.ports.inspection import Cancellation, PriorityChange
    from jobkit.projections.projection import Projection

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

# Each is loaded when it is asked for: a plugin needs no client, a client no plugin, and `jobkit --help` neither.
_WHERE = {
    "Cancellation": "jobkit.ports.inspection",
    "CancelledEvent": "jobkit.plugin.hooks",
    "Client": "jobkit.client.client",
    "CommittedEvent": "jobkit.plugin.hooks",
    "Concurrency": "jobkit.plugin.limits",
    "Context": "jobkit.plugin.context",
    "DeadEvent": "jobkit.plugin.hooks",
    "DeclaredSchedule": "jobkit.plugin.schedule",
    "EndState": "jobkit.model.notice",
    "FailedEvent": "jobkit.plugin.hooks",
    "Handle": "jobkit.handles",
    "JobEnd": "jobkit.plugin.notification",
    "JobInfo": "jobkit.plugin.job_info",
    "JobkitError": "jobkit.errors",
    "Notification": "jobkit.plugin.notification",
    "Payload": "jobkit.plugin.payload",
    "PriorityChange": "jobkit.ports.inspection",
    "Processor": "jobkit.plugin.processor",
    "Progress": "jobkit.handles",
    "Projection": "jobkit.projections.projection",
    "Rate": "jobkit.plugin.limits",
    "Reject": "jobkit.errors",
    "Resource": "jobkit.plugin.resource",
    "Result": "jobkit.plugin.payload",
    "Retry": "jobkit.errors",
    "RetryPolicy": "jobkit.plugin.retry",
    "ScheduleBook": "jobkit.client.schedules",
    "ScheduleStatus": "jobkit.client.schedules",
    "Snooze": "jobkit.errors",
    "Submission": "jobkit.client.submission",
    "SyncClient": "jobkit.client.sync",
    "SyncContext": "jobkit.plugin.sync_context",
    "SyncHandle": "jobkit.handles",
    "TypeDefinition": "jobkit.plugin.type_definition",
    "around_attempt": "jobkit.plugin.middleware",
    "around_submit": "jobkit.plugin.middleware",
    "connect": "jobkit.client.connect",
    "hook": "jobkit.plugin.hooks",
    "processor": "jobkit.plugin.processor",
    "resource": "jobkit.plugin.resource",
    "schedule": "jobkit.plugin.schedule",
}


def __getattr__(name: str) -> Any:
    return load(globals(), _WHERE, name)
