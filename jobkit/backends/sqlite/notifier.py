"""Notifications within a process, and across the processes of one machine.

Each process binds one Unix datagram socket in a directory beside the database; after a commit the writer sends the
topics that changed, as one datagram, to every socket there.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import random
import secrets
import socket
import tempfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import anyio
import structlog

from jobkit.model.clock import Clock
from jobkit.ports import notifier as port

_log = structlog.get_logger("jobkit.sqlite")

# sockaddr_un holds 108 bytes on Linux, 104 on macOS, with the final NUL.
_LONGEST_ADDRESS = 103
_SOCKET_NAME_BYTES = len("/0123456789abcdef")
# What a stopped process leaves unread counts against the buffer of the sender, so each of them must be small.
_LARGEST_DATAGRAM = 4_096
_DATAGRAMS_PER_TURN = 64
# Linux queues ten for a socket, by default, and refuses more: who finds as many may have missed some.
_CROWD = 10

_BIND_ATTEMPTS = 10

_EVERYTHING = b"*"
_HELLO = b"hello"
_SEPARATOR = "\0"

POLL_SECONDS = 1.0


class Subscription(port.Subscription):
    """One waiter on topics, or for all below one that ends in "/"; a context manager."""

    def __init__(self, notifier: Notifier, topics: Sequence[str]) -> None:
        self._notifier = notifier
        self._topics = topics
        self._notified = asyncio.Event()

    def __enter__(self) -> Subscription:
        for topic in self._topics:
            self._notifier.add(topic, self._notified)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for topic in self._topics:
            self._notifier.discard(topic, self._notified)

    async def wait(self, seconds: float) -> bool:
        """Return once a topic was notified since the last return, or it is time to look again.

        That is in `seconds` at most. Return whether it was notified.
        """
        if not self._notified.is_set() and seconds > 0:
            await self._notifier.wait_for(self._notified, seconds)
        notified = self._notified.is_set()
        self._notified.clear()
        return notified


class Notifier(port.Notifier):
    """The notifications of one process. Without a `directory` there are no other processes, and no need to poll."""

    def __init__(self, clock: Clock, directory: Path | None, rng: random.Random | None = None) -> None:
        self._clock = clock
        self._directory = directory
        self._rng = rng or random.Random()  # noqa: S311  (spreads pollers, no secret)
        # Dictionaries, not sets: events hash by address, and who is woken first must not differ from run to run.
        self._waiting: dict[str, dict[asyncio.Event, None]] = {}
        self._waiting_below: dict[str, dict[asyncio.Event, None]] = {}
        self._socket: socket.socket | None = None
        self._own_path: str | None = None
        self._others: list[str] = []
        self._listed_at: int | None = None

    def subscribe(self, *topics: str) -> Subscription:
        """Return a subscription to `topics`, to be entered before looking, so that nothing between is missed."""
        return Subscription(self, topics)

    def add(self, topic: str, notified: asyncio.Event) -> None:
        """Set `notified` whenever `topic` is notified."""
        self._waiters(topic).setdefault(topic, {})[notified] = None

    def discard(self, topic: str, notified: asyncio.Event) -> None:
        """Undo `add`."""
        waiters = self._waiters(topic)
        waiters[topic].pop(notified, None)
        if not waiters[topic]:
            del waiters[topic]

    async def wait_for(self, notified: asyncio.Event, seconds: float) -> None:
        """Return when `notified` is set, `seconds` are over, or a slow poll is due."""
        if self._directory is not None:
            seconds = min(seconds, POLL_SECONDS * self._rng.uniform(0.75, 1.25))
        if seconds == float("inf"):
            await notified.wait()
            return
        async with anyio.create_task_group() as group:

            async def expire() -> None:
                await self._clock.sleep(seconds)
                group.cancel_scope.cancel()

            group.start_soon(expire)
            await notified.wait()
            group.cancel_scope.cancel()

    def notify(self, topics: Collection[str]) -> None:
        """Wake whoever waits for one of `topics`, here and in other processes."""
        if not topics:
            return
        # Sorted, since they come as sets, and strings hash differently in each interpreter.
        for topic in sorted(topics):
            self._wake(topic)
        if self._directory is not None:
            self._send(topics)

    def start(self) -> None:
        """Begin to listen to other processes. Where that is impossible, log it: waiting then means polling."""
        if self._directory is None:
            return
        path = str(self._directory / secrets.token_hex(8))
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            receiver.setblocking(False)
            self._bind(receiver, path)
        except OSError as error:
            receiver.close()
            _log.warning(port.NOTIFICATIONS_LOST, directory=str(self._directory), error=str(error))
            return
        self._socket, self._own_path = receiver, path
        asyncio.get_running_loop().add_reader(receiver, self._on_message, receiver)
        self._tell_others(_HELLO)

    def stop(self) -> None:
        """Stop listening; wake every waiter of this process one last time."""
        self._wake_all()
        if self._directory is None or self._socket is None or self._own_path is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._socket = None
        Path(self._own_path).unlink(missing_ok=True)
        # The last one takes the directory away; it is made again when it is needed.
        with suppress(OSError):
            self._directory.rmdir()

    def _bind(self, receiver: socket.socket, path: str) -> None:
        assert self._directory is not None  # noqa: S101  (only asked for where there is one)
        for _ in range(_BIND_ATTEMPTS):
            self._directory.mkdir(mode=0o700, exist_ok=True)
            try:
                return receiver.bind(path)
            except FileNotFoundError:
                # Whoever left last took the directory away in this very moment.
                continue
        raise FileNotFoundError(errno.ENOENT, "the directory disappears again and again", str(self._directory))

    def _waiters(self, topic: str) -> dict[str, dict[asyncio.Event, None]]:
        return self._waiting_below if topic.endswith("/") else self._waiting

    def _wake(self, topic: str) -> None:
        for notified in self._waiting.get(topic, ()):
            notified.set()
        for above, waiters in self._waiting_below.items():
            if topic.startswith(above):
                for notified in waiters:
                    notified.set()

    def _wake_all(self) -> None:
        for waiters in (*self._waiting.values(), *self._waiting_below.values()):
            for notified in waiters:
                notified.set()

    def _send(self, topics: Collection[str]) -> None:
        if not self._refresh_others():
            return
        packed = _SEPARATOR.join(topics).encode("utf-8", "surrogatepass")
        self._tell_others(packed if len(packed) <= _LARGEST_DATAGRAM else _EVERYTHING)

    def _refresh_others(self) -> list[str]:
        """Return the other processes' sockets; the directory is read only after it changed."""
        if self._directory is None or self._socket is None:
            return []
        try:
            changed = os.stat(self._directory).st_mtime_ns  # noqa: PTH116  (on the hot path)
            if changed != self._listed_at:
                self._others = [entry.path for entry in os.scandir(self._directory) if entry.path != self._own_path]
                self._listed_at = changed
        except OSError as error:
            _log.warning(port.NOTIFICATIONS_LOST, directory=str(self._directory), error=str(error))
            self._others = []
        return self._others

    def _tell_others(self, packed: bytes) -> None:
        if self._socket is None:
            return
        for path in self._refresh_others():
            try:
                self._socket.sendto(packed, path)
            except (BlockingIOError, FileNotFoundError):
                # A full buffer belongs to a process that will look anyway; a missing socket to one that has ended.
                continue
            except OSError as error:
                if error.errno == errno.ECONNREFUSED:
                    Path(path).unlink(missing_ok=True)
                elif error.errno != errno.ENOBUFS:
                    _log.warning(port.NOTIFICATIONS_LOST, socket=path, error=str(error))

    def _on_message(self, receiver: socket.socket) -> None:
        heard = 0
        for _ in range(_DATAGRAMS_PER_TURN):
            try:
                packed = receiver.recv(_LARGEST_DATAGRAM)
            except BlockingIOError:
                break
            heard += 1
            if packed == _HELLO:
                self._listed_at = None
            elif packed == _EVERYTHING:
                self._wake_all()
            else:
                for topic in packed.decode("utf-8", "surrogatepass").split(_SEPARATOR):
                    self._wake(topic)
        if heard >= _CROWD:
            self._wake_all()


def notifier_directory(database: str) -> Path:
    """Return where the sockets of the database at `database` lie: beside it, or, where that path is too long for a
    socket, in the directory for temporary files.
    """
    real = os.path.realpath(database)
    beside = f"{real}-notify"
    if len(os.fsencode(beside)) + _SOCKET_NAME_BYTES <= _LONGEST_ADDRESS:
        return Path(beside)
    return Path(tempfile.gettempdir()) / f"jobkit-{hashlib.sha256(os.fsencode(real)).hexdigest()[:16]}"
