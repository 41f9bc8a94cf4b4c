"""jobkit: jobs that happen once and in order, however badly the network behaves."""

from jobkit.errors import JobkitError, Reject, Retry
from jobkit.plugin.context import Context
from jobkit.plugin.payload import Payload, Result
from jobkit.plugin.processor import Processor, processor
from jobkit.plugin.retry import RetryPolicy
from jobkit.projections.projection import Projection

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
