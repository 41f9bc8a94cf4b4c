"""The uploads plugin: upload sessions as event-sourced state, each of which ends in a transcode job."""

from workers.uploads.events import UploadEvent, VideoChunkReceived, VideoUploadCompleted, VideoUploadStarted
from workers.uploads.processor import upload
from workers.uploads.session import UploadSession, UploadState, session

__all__ = [
    "UploadEvent",
    "UploadSession",
    "UploadState",
    "VideoChunkReceived",
    "VideoUploadCompleted",
    "VideoUploadStarted",
    "session",
    "upload",
]
