"""Serves folders on the loopback as a content delivery network would: with ranges, and to pages of other origins."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".jpg": "image/jpeg",
    ".m3u8": "application/vnd.apple.mpegurl",
    ".m4s": "video/iso.segment",
    ".mp4": "video/mp4",
    ".mpd": "application/dash+xml",
    ".vtt": "text/vtt",
}
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@contextmanager
def serve(folders: Mapping[str, Path]) -> Iterator[str]:
    """Serve each folder below the first part of a path; yields the address, which has no slash at its end."""

    class Handler(_Handler):
        roots: ClassVar = {name: folder.resolve() for name, folder in folders.items()}

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="file server")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    roots: ClassVar[Mapping[str, Path]]

    def do_GET(self) -> None:  # the name that http.server calls
        path = self._file()
        if path is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        content = path.read_bytes()
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        first, last = 0, len(content) - 1
        if asked is not None:
            first, last = int(asked[1]), min(int(asked[2] or last), last)
        part = content[first : last + 1]
        self.send_response(HTTPStatus.OK if asked is None else HTTPStatus.PARTIAL_CONTENT)
        if asked is not None:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Type", _TYPES.get(path.suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def do_OPTIONS(self) -> None:
        self.send_response(HTTPStatus.NO_CONTENT)
        self.send_header("Access-Control-Allow-Headers", "Range")
        self.end_headers()

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Expose-Headers", "Content-Range, Content-Length")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _file(self) -> Path | None:
        """Return the file of the path asked for; None where there is none, or where it lies outside."""
        _, name, *rest = self.path.partition("?")[0].split("/")
        root = self.roots.get(name)
        if root is None:
            return None
        path = root.joinpath(*rest).resolve()
        return path if path.is_relative_to(root) and path.is_file() else None
