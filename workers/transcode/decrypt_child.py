"""Decrypts a track and compares it with what it was made of, in a process of its own; writes nothing.

`main` takes one argument, the name of a file of JSON: `{"plain": [...], "encrypted": [...], "key": ...}`, lists of
files that are one track each, and the descriptor that the key is read from. Answers with lines of JSON:
`{"beat": packets}` now and then, and at the end `{"done": true}`, `{"damaged": "..."}` where they differ, or
`{"failed": "..."}` for troubles of the machine.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import av

from workers.transcode.beat import Beat, say


class Joined(io.RawIOBase):
    """Files that are read one after another, as one."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._file: io.BufferedReader | None = None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, none at the end."""
        while True:
            if self._file is None:
                if not self._names:
                    return b""
                self._file = open(self._names.pop(0), "rb")  # noqa: SIM115, PTH123  (closed where it ends, below)
            content = self._file.read(size)
            if content:
                return content
            self._file.close()
            self._file = None


def digest(names: Sequence[str], options: Mapping[str, str], beat: Beat) -> str:
    """Return a digest of all packets of a track and their times. Raises `av.FFmpegError`, `OSError`."""
    found = sha256()
    with av.open(Joined(names), mode="r", format="mov", options=dict(options)) as container:
        for number, packet in enumerate(container.demux()):
            if packet.size:
                found.update(f"{packet.pts} {packet.dts} {packet.size} ".encode())
                found.update(bytes(packet))
            beat.at(number)
    return found.hexdigest()


def main(arguments: list[str]) -> int:
    """Compare what the argument names."""
    order = json.loads(Path(arguments[0]).read_text())
    with os.fdopen(order["key"]) as file:
        key = file.read()
    beat = Beat()
    try:
        same = digest(order["plain"], {}, beat) == digest(order["encrypted"], {"decryption_key": key}, beat)
    except av.FFmpegError as error:
        say({"damaged": f"{order['encrypted'][0]}, encrypted, cannot be read: {error.strerror}"})
    except OSError as error:
        say({"failed": f"{error.filename or 'a segment'}: {error.strerror}"})
    else:
        say({"done": True} if same else {"damaged": f"{order['encrypted'][0]} does not decrypt to what it was made of"})
    return 0
