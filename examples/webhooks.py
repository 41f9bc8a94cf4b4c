"""Webhooks: a signed event, made in the commit of the job that it tells of.

Run it (this receiver is on this machine, so plain HTTP and loopback are allowed here):

    export JOBKIT_PLUGINS=webhooks,workers.webhook JOBKIT_WEBHOOK_ALLOW_NETWORKS=127.0.0.0/8
    export JOBKIT_WEBHOOK_ALLOW_HTTP=true JOBKIT_WEBHOOK_SECRETS='{"default": "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"}'
    jobkit worker resize webhook &
    python webhooks.py
"""

from __future__ import annotations

import asyncio
import json

from aiohttp import web

from jobkit import Context, Payload, Result, connect, processor
from workers.webhook import webhook_event


class Resize(Payload):
    """What the job is given; who wants to hear of it says where."""

    photo: str
    callback: str | None = None


class Resized(Result):
    """What the job returns."""

    width: int


@processor("resize", key=lambda job: job.photo, notify=[webhook_event("photo.resized", to=lambda job: job.callback)])
async def resize(job: Resize, ctx: Context) -> Resized:
    """Commit; the event is in the same transaction."""
    ctx.append("resized", {"photo": job.photo})
    return Resized(width=640)


async def main() -> None:
    """Receive an event, as somebody else's program would."""
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hook(request: web.Request) -> web.Response:
        # A real receiver verifies the signature: standardwebhooks.Webhook(secret).verify(body, headers)
        event = json.loads(await request.read())
        heard.put_nowait(f"{event['type']} {event['data']['result']} {request.headers['webhook-signature'][:3]}")
        return web.Response(status=204)

    application = web.Application()
    application.router.add_post("/hook", hook)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with connect() as client:
        callback = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        await client.submit("resize", Resize(photo="beach.jpg", callback=callback))
        print(await asyncio.wait_for(heard.get(), timeout=60))
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
