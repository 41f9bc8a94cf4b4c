"""Why a job has not been done yet."""

from jobkit.ops.lateness.reason import Cause, Reason
from jobkit.ops.lateness.why import why_late

__all__ = ["Cause", "Reason", "why_late"]
