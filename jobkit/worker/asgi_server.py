"""An ASGI application on a port, as a part of a process that does other things."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import anyio
import uvicorn
from starlette.types import ASGIApp

from jobkit.errors import ConfigurationError

# How long requests under way may hold up the end, in seconds.
_GOOD_BYE_SECONDS = 1
_BACKLOG = 2048


class _Server(uvicorn.Server):
    """Leaves signals alone: the process decides what they mean."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(application: ASGIApp, host: str, port: int, *, named: str) -> AsyncIterator[int]:
    """Serve `application` during the block; yield the port, which 0 has the system choose.

    Raises `ConfigurationError`, beginning with how the port was `named`, where it is taken.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # From here on nobody is refused: who comes before the server has started waits for it.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"{named}: cannot listen on {host}: {error.strerror}; choose another port, or 0 for any"
        ) from error
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        lifespan="off",
        # Whom a proxy asks for is for the application to believe or not: it is told who the proxy is.
        proxy_headers=False,
        timeout_graceful_shutdown=_GOOD_BYE_SECONDS,
    )
    server = _Server(config)
    bound: int = listener.getsockname()[1]
    with listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_serve, server, listener)
            try:
                yield bound
            finally:
                server.should_exit = True


async def _serve(server: _Server, listener: socket.socket) -> None:
    # Cancelled in the middle it would leave its sockets open; told to exit, it ends by itself in bounded time.
    with anyio.CancelScope(shield=True):
        await server.serve([listener])
