"""FastAPI: one client for the whole application, lent to each request, and its errors as answers.

application = FastAPI(lifespan=lifespan())
add_error_handlers(application)

@application.post("/reports", status_code=202)
async def request_report(report: Report, jobs: JobkitClient) -> dict[str, str]:
    return {"id": (await make_report.submit(jobs, report)).id}
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from jobkit.client.client import Client
from jobkit.client.connect import connect
from jobkit.errors import JobConflict, JobkitError, JobNotFound, PayloadInvalid, Unavailable
from jobkit.files.application import Access, FilesApplication
from jobkit.files.signed_links import FileLinks
from jobkit.settings import Settings

# The status that tells an HTTP client what to do about it: mend the request, or come back later.
_STATUS: dict[type[JobkitError], int] = {PayloadInvalid: 422, JobConflict: 409, JobNotFound: 404, Unavailable: 503}

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[dict[str, Any]]]


def lifespan(settings: Settings | None = None) -> Lifespan:
    """Return a lifespan of an application that opens a client as it starts, and closes it as it ends.

    The backends are those of the environment unless `settings` are given. An application that has a lifespan of its own
    enters this one in it, and yields what it yields.
    """

    @asynccontextmanager
    async def opened(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with connect(settings) as client:
            yield {"jobkit": client}

    return opened


def client_of(request: Request) -> Client:
    """Return the application's client: the dependency of an endpoint that submits or watches jobs."""
    client: Client = request.state.jobkit
    return client


JobkitClient = Annotated[Client, Depends(client_of)]


def files_application(
    *, access: Access | None = None, links: FileLinks | None = None, origins: Sequence[str] = ()
) -> ASGIApp:
    """Return a `FilesApplication` to be mounted: it gives out the committed files of the application's own client."""
    current: ContextVar[Client] = ContextVar("jobkit_client")
    files = FilesApplication(current.get, access=access, links=links, origins=origins)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            current.set(scope["state"]["jobkit"])
        await files(scope, receive, send)

    return application


def add_error_handlers(application: FastAPI) -> None:
    """Have errors of jobkit answered: 422 for a payload, 409 for a conflict, 404 for an unknown job, 503 for a backend.

    The answer is JSON, with the message as `detail`; that of a backend stays in the log.
    """
    for kind, status in _STATUS.items():
        application.add_exception_handler(kind, partial(_answer, status))


async def _answer(status: int, _: Request, error: Exception) -> JSONResponse:
    detail = "jobs cannot be accepted just now; try again" if isinstance(error, Unavailable) else str(error)
    return JSONResponse({"detail": detail}, status)
