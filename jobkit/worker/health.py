"""Liveness and readiness over HTTP, for whatever supervises the process.

`/metrics` is what Prometheus reads, where the process has a page of metrics.

Live: the event loop turns. Ready: the coordinator answers in time for leases to be kept, and every partition
that is led has its consumer; a worker that drains is live, but not ready.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Protocol

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from jobkit.errors import ConfigurationError
from jobkit.telemetry import Telemetry

Check = Callable[[], dict[str, bool]]


class Page(Protocol):
    """All metrics of the process."""

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the page in a format that `accept`, an HTTP header, allows, and its content type."""
        ...


# How long requests under way may hold up the end, in seconds.
_GOOD_BYE_SECONDS = 1


class _Server(uvicorn.Server):
    """Leaves signals alone: the worker decides what they mean."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _application(live: Check, ready: Check, page: Page | None) -> Starlette:
    def answer(check: Check) -> Callable[[Request], JSONResponse]:
        def respond(_: Request) -> JSONResponse:
            found = check()
            return JSONResponse(found, status_code=200 if all(found.values()) else 503)

        return respond

    # On the event loop, like every change of what it reads: it is a few milliseconds, once for each scrape.
    async def metrics(request: Request) -> Response:
        if page is None:
            return PlainTextResponse("this process keeps no page of metrics\n", status_code=404)
        body, content_type = page.render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    return Starlette(routes=[Route("/live", answer(live)), Route("/ready", answer(ready)), Route("/metrics", metrics)])


@contextlib.asynccontextmanager
async def serving_health(
    host: str, port: int, live: Check, ready: Check, telemetry: Telemetry, page: Page | None = None
) -> AsyncIterator[int]:
    """Answer `/live`, `/ready` and `/metrics` during the block; yield the port.

    Raises `ConfigurationError` where the port is taken.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"JOBKIT_HEALTH_PORT={port}: cannot listen on {host}: {error.strerror}; choose another port, or 0 for any"
        ) from error
    config = uvicorn.Config(
        _application(live, ready, page),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_GOOD_BYE_SECONDS,
    )
    server = _Server(config)
    bound: int = listener.getsockname()[1]
    with listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_serve, server, listener)
            telemetry.log.info("health endpoint", host=host, port=bound)
            try:
                yield bound
            finally:
                server.should_exit = True


async def _serve(server: _Server, listener: socket.socket) -> None:
    # Cancelled in the middle it would leave its sockets open; told to exit, it ends by itself in bounded time.
    with anyio.CancelScope(shield=True):
        await server.serve([listener])
