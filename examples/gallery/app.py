"""A gallery: upload a video, watch it being transcoded, play it, or change your mind. README.md says how to run it."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Annotated

import anyio
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse, StreamingResponse
from heard import Heard
from live import told_live
from standardwebhooks import Webhook, WebhookVerificationError

from jobkit.files import everyone
from jobkit.integrations.fastapi import JobkitClient, add_error_handlers, files_application, lifespan
from workers.transcode import Transcode, transcode
from workers.webhook import webhook_to

UPLOADS = Path(os.environ.get("GALLERY_UPLOADS", "uploads"))
HOOK = os.environ.get("GALLERY_HOOK", "http://127.0.0.1:8000/hook")
MOST_BYTES = 2 << 30

signature = Webhook(os.environ["GALLERY_SECRET"])
heard = Heard()
app = FastAPI(title="Gallery", lifespan=lifespan())
add_error_handlers(app)
# Everybody may see every video here; `access=` is where an application asks who it is.
app.mount("/files", files_application(access=everyone))

Name = Annotated[str, InPath(pattern=r"^\w[\w.-]{0,80}$")]


@app.get("/")
async def page() -> FileResponse:
    """Show the page."""
    return FileResponse(Path(__file__).with_name("page.html"))


@app.put("/videos/{name}", status_code=202)
async def upload(name: Name, request: Request, jobs: JobkitClient) -> dict[str, str]:
    """Take a video, and submit the job that transcodes it; its commit tells `hook`."""
    source = f"{uuid.uuid4()}{Path(name).suffix}"
    await _save(request, UPLOADS / source)
    event = webhook_to(HOOK, event="video.ready", data={"video": name})
    handle = await transcode.submit(jobs, Transcode(video_id=name, source=source), notify=[event])
    return {"job": handle.id}


async def _save(request: Request, path: Path) -> None:
    size = 0
    try:
        async with await anyio.open_file(path, "xb") as file:
            async for chunk in request.stream():
                size += len(chunk)
                if size > MOST_BYTES:
                    raise HTTPException(413, "a video may have 2 GiB")
                await file.write(chunk)
    except BaseException:
        # Too large, or the browser went away.
        await anyio.Path(path).unlink(missing_ok=True)
        raise


@app.get("/jobs/{id}/live")
async def live(id: str, jobs: JobkitClient) -> StreamingResponse:
    """Tell how far a job is, as it goes on, and what came of it."""
    handle = jobs.handle(id, transcode)
    await handle.status()  # An unknown job is a 404 before the stream begins.
    return StreamingResponse(told_live(handle, heard), media_type="text/event-stream")


@app.delete("/jobs/{id}", status_code=204)
async def cancel(id: str, jobs: JobkitClient) -> None:
    """End a job: once this has answered, it never commits."""
    await jobs.handle(id).cancel(by="gallery", reason="nobody wants it any more")


@app.post("/hook", status_code=204)
async def hook(request: Request) -> Response:
    """Hear of a video that is ready, from the webhook plugin."""
    try:
        event = signature.verify(await request.body(), dict(request.headers))
    except WebhookVerificationError as error:
        raise HTTPException(400, "not signed by us") from error
    await heard.add(event["data"]["job"], event)
    return Response(status_code=204)
