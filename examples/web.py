"""Submitting from a web application: one client for the whole application, and no waiting in a request.

Run it:

    export JOBKIT_PLUGINS=word_count
    jobkit worker word-count &
    uvicorn web:application --port 8000
    curl -i -d '{"document": "haiku", "text": "an old silent pond"}' localhost:8000/counts
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from jobkit import Client, connect
from jobkit.errors import JobConflict, JobNotFound, PayloadInvalid, Unavailable


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Client]]:
    """Lend every request the client."""
    async with connect() as client:
        yield {"client": client}


async def submit(request: Request) -> JSONResponse:
    """Accept a job, and say where to ask for it. A caller that names the job can safely ask again."""
    client: Client = request.state.client
    try:
        job = await client.submit("word-count", await request.body(), id=request.headers.get("Idempotency-Key"))
    except PayloadInvalid as error:
        return JSONResponse({"error": str(error)}, 422)
    except JobConflict as error:
        return JSONResponse({"error": str(error)}, 409)
    except Unavailable as error:
        return JSONResponse({"error": str(error)}, 503)
    return JSONResponse({"id": job.id}, 202, {"Location": f"/counts/{job.id}"})


async def show(request: Request) -> JSONResponse:
    """Show how far a job is, and its result once it has one."""
    client: Client = request.state.client
    try:
        job = await client.status(request.path_params["id"])
    except JobNotFound as error:
        return JSONResponse({"error": str(error)}, 404)
    return JSONResponse({"state": job.state, "result": json.loads(job.result or b"null")})


application = Starlette(
    routes=[Route("/counts", submit, methods=["POST"]), Route("/counts/{id}", show)], lifespan=lifespan
)
