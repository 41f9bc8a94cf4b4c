"""jobkit: jobs that happen once and in order, however badly the network behaves."""

from jobkit.context import Context
from jobkit.errors import JobkitError, Reject, Retry
from jobkit.payload import Payload, Result
from jobkit.processor import Processor, processor
from jobkit.projection import Projection
from jobkit.retry import RetryPolicy

__all__ = [
    "Context",
    "JobkitError",
    "Payload",
    "Processor",
    "Projection",
    "Reject",
    "Result",
    "Retry",
    "RetryPolicy",
    "processor",
]
