"""What a program holds of a job that it has submitted: how far it is, and its result."""

from jobkit.handles.handle import Handle, Progress
from jobkit.handles.sync_handle import SyncHandle

__all__ = ["Handle", "Progress", "SyncHandle"]
