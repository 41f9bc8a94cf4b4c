"""The uploads plugin: upload sessions as event-sourced state, each of which ends in a transcode job."""

from workers.uploads.events import UploadEvent, VideoChunkReceived, VideoUploadCompleted, VideoUploadStarted
from workers.uploads.processor import upload
from workers.uploads.session import Session, UploadState, session

__all__ = [
    "Session",
    "UploadEvent",
    "UploadState",
    "VideoChunkReceived",
    "VideoUploadCompleted",
    "VideoUploadStarted",
    "session",
    "upload",
]
