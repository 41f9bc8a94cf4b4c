"""The process of one attempt: `python -m jobkit.runner.child_main SOCKET WORKER`.

It ends with its worker, whatever happens to that: the kernel kills it where the worker dies (Linux), and it kills
itself, and whatever it started, where the worker's end of the socket closes.
"""

from __future__ import annotations

import importlib
import os
import resource
import signal
import socket
import sys
import threading
import traceback
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from jobkit.plugin.processor import Processor
from jobkit.plugin.sync_context import SyncContext
from jobkit.runner.carried_error import CarriedError
from jobkit.runner.child_wire import (
    LENGTH,
    OUT_OF_MEMORY,
    Ask,
    Begin,
    Done,
    Failed,
    Log,
    packed,
    unpacked,
)

_PR_SET_PDEATHSIG = 1
_PLAIN = (str, int, float, bool, type(None))


class Worker:
    """The worker at the other end of the socket: one thread asks at a time, another hears answers and its end."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._asking = threading.Lock()
        self._sending = threading.Lock()
        self._answered = threading.Condition()
        self._answers: list[Any] = []

    def receive(self) -> Any:
        """Return the next message. Raises `EOFError` where the worker is gone."""
        (length,) = LENGTH.unpack(self._read(LENGTH.size))
        return unpacked(self._read(length))

    def listen(self) -> None:
        """From now on take answers in a thread, which ends this process with the worker."""
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, message: object) -> None:
        """Send a message."""
        data = packed(message)
        with self._sending:
            self._connection.sendall(data)

    def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        """Have the worker call its context."""
        with self._asking:
            self.send(Ask(name, arguments, named))
            with self._answered:
                self._answered.wait_for(lambda: self._answers)
                answer = self._answers.pop()
        if isinstance(answer, Failed):
            raise answer.error.error()
        return answer.value

    def _listen(self) -> None:
        try:
            while True:
                answer = self.receive()
                with self._answered:
                    self._answers.append(answer)
                    self._answered.notify()
        except BaseException:  # noqa: BLE001  (nobody is there to be told: the worker is gone)
            os.killpg(0, signal.SIGKILL)

    def _read(self, size: int) -> bytes:
        read = bytearray()
        while len(read) < size:
            part = self._connection.recv(min(size - len(read), 2**20))
            if not part:
                raise EOFError
            read += part
        return bytes(read)


def _end_with(worker: int) -> None:
    """Have the kernel kill this process when its worker dies."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != worker:
        # It died before the kernel was told.
        os._exit(1)


def _log_through(worker: Worker) -> Any:
    def ship(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event = structlog.processors.format_exc_info(_logger, method, event)
        text = str(event.pop("event", ""))
        fields = {name: value if isinstance(value, _PLAIN) else repr(value) for name, value in event.items()}
        worker.send(Log(method, text, fields))
        raise structlog.DropEvent

    bound = structlog.make_filtering_bound_logger("debug")
    return structlog.wrap_logger(None, processors=[ship], wrapper_class=bound)


def _run(begin: Begin, worker: Worker) -> Done | Failed:
    try:
        found: Any = importlib.import_module(begin.module)
        for part in begin.function.split("."):
            found = getattr(found, part)
        assert isinstance(found, Processor)  # noqa: S101  (it was declared there)
        if begin.memory is not None:
            resource.setrlimit(resource.RLIMIT_AS, (begin.memory, begin.memory))
        ctx = SyncContext(begin.job, worker, _log_through(worker))
        return Done(found.dump_result(found.function(found.parse(begin.body), ctx)))
    except MemoryError as error:
        # With what it held let go of, there is room again to say so.
        traceback.clear_frames(error.__traceback__)
        return Failed(CarriedError.of(MemoryError(*error.args)))
    except BaseException as error:  # noqa: BLE001  (all that a processor raises is its attempt's, and told as such)
        return Failed(CarriedError.of(error))


def main(number: int, parent: int) -> None:
    """Run the attempt that the worker at the other end of socket `number` says, and say how it went."""
    _end_with(parent)
    worker = Worker(socket.socket(fileno=number))
    begin: Begin = worker.receive()
    sys.path[:] = begin.path
    worker.listen()
    try:
        worker.send(_run(begin, worker))
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    # Threads and exit handlers of the processor's own are over with the attempt.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
