"""The transcode plugin: MP4 renditions, an HLS package and a poster of a video, with ffmpeg."""

from workers.transcode.payload import Rendition, SourceInfo, Transcode, TranscodeResult
from workers.transcode.processor import transcode

__all__ = ["Rendition", "SourceInfo", "Transcode", "TranscodeResult", "transcode"]
