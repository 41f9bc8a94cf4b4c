"""The client for programs without an event loop: scripts, Flask, Django."""

from jobkit.client.sync.client import SyncClient
from jobkit.client.sync.files import SyncFileSet, SyncOpenFile
from jobkit.client.sync.schedules import SyncScheduleBook

__all__ = ["SyncClient", "SyncFileSet", "SyncOpenFile", "SyncScheduleBook"]
