"""Liveness and readiness over HTTP, for whatever supervises the process.

`/metrics` is what Prometheus reads, where the process has a page of metrics.

Live: the event loop turns. Ready: the coordinator answers in time for leases to be kept, and every partition
that is led has its consumer; a worker that drains is live, but not ready.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from jobkit.telemetry import Telemetry
from jobkit.worker.asgi_server import serving

Check = Callable[[], dict[str, bool]]


class Page(Protocol):
    """All metrics of the process."""

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the page in a format that `accept`, an HTTP header, allows, and its content type."""
        ...


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


@asynccontextmanager
async def serving_health(
    host: str, port: int, live: Check, ready: Check, telemetry: Telemetry, page: Page | None = None
) -> AsyncIterator[int]:
    """Answer `/live`, `/ready` and `/metrics` during the block; yield the port.

    Raises `ConfigurationError` where the port is taken.
    """
    async with serving(_application(live, ready, page), host, port, named=f"JOBKIT_HEALTH_PORT={port}") as bound:
        telemetry.log.info("health endpoint", host=host, port=bound)
        yield bound
