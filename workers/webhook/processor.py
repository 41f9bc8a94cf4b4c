"""The processor of job type `webhook`: one event, posted until it is taken or nobody wants it any more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import aiohttp

from jobkit import Concurrency, Context, Reject, Retry, RetryPolicy, processor
from workers.webhook import answers
from workers.webhook.addresses import AddressRefused, CheckedResolver, check_literal
from workers.webhook.payload import Delivered, Webhook
from workers.webhook.settings import WebhookSettings
from workers.webhook.signing import signed

# Of an answer no more is read, and of that so much is told.
MOST_BYTES = 16 * 1024
EXCERPT_CHARACTERS = 200
# About 10 s, 40 s, 3 min, 11 min and 43 min, then every three hours: about a day in all.
RETRIES = RetryPolicy(
    max_attempts=13, initial=timedelta(seconds=10), factor=4, maximum=timedelta(hours=3), jitter=0.2, on=(Exception,)
)
# So many at once for each host, so that one that is slow has not all slots.
FOR_EACH_HOST = Concurrency("webhook.host", 8, key=lambda job: job.host)


@processor(
    "webhook",
    key=lambda job: job.about,
    timeout=timedelta(minutes=2),
    retry=RETRIES,
    settings=WebhookSettings,
    limits=[FOR_EACH_HOST],
)
async def webhook(job: Webhook, ctx: Context) -> Delivered:
    """Post the event once. The same id, and the same body, with each attempt; another time and signature."""
    settings = ctx.settings(WebhookSettings)
    _check_address(job, settings)
    body = body_of(job, ctx.job.submitted_at)
    headers = {
        "content-type": "application/json",
        "user-agent": "jobkit-webhook/1",
        **signed(ctx.job.id, int(ctx.clock.wall()), body, _secrets(job, settings)),
    }
    began = ctx.clock.now()
    try:
        status, told, excerpt = await _posted(job.url, body, headers, settings)
    except aiohttp.InvalidURL as error:
        raise Reject(f"the address is none: {error}") from error
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise _unreached(error, settings) from error
    answers.check(status, told, excerpt, ctx.clock.wall())
    return Delivered(status=status, seconds=round(ctx.clock.now() - began, 3))


def body_of(job: Webhook, at: float) -> bytes:
    """Return what is posted of an event that was made at a Unix time."""
    moment = datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
    told = {"type": job.event, "timestamp": moment, "data": job.told}
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()


def _check_address(job: Webhook, settings: WebhookSettings) -> None:
    if urlsplit(job.url).scheme != "https" and not settings.allow_http:
        raise Reject("the address is not https: JOBKIT_WEBHOOK_ALLOW_HTTP=true allows others")
    try:
        check_literal(job.host, settings.allow_networks)
    except AddressRefused as error:
        raise Reject(str(error)) from error


def _secrets(job: Webhook, settings: WebhookSettings) -> list[str]:
    secret = settings.secrets.get(job.secret)
    if secret is None:
        # A setting that may come with the next start of a worker.
        raise Retry(f"JOBKIT_WEBHOOK_SECRETS has no secret {job.secret!r}", after=timedelta(minutes=5))
    return secret.get_secret_value().split()


async def _posted(
    url: str, body: bytes, headers: Mapping[str, str], settings: WebhookSettings
) -> tuple[int, Mapping[str, str], str]:
    """Post once, to an address that was checked; return the status, the headers and the beginning of the answer."""
    connector = aiohttp.TCPConnector(
        resolver=CheckedResolver(settings.allow_networks), use_dns_cache=False, force_close=True
    )
    async with (
        aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=settings.timeout),
            auto_decompress=False,
        ) as session,
        session.post(url, data=body, headers=headers, allow_redirects=False) as response,
    ):
        begun = b""
        while len(begun) < MOST_BYTES and (chunk := await response.content.read(MOST_BYTES - len(begun))):
            begun += chunk
        text = " ".join(begun[: 4 * EXCERPT_CHARACTERS].decode(errors="replace").split())
        return response.status, response.headers, text[:EXCERPT_CHARACTERS]


def _unreached(error: BaseException, settings: WebhookSettings) -> Reject | Retry:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AddressRefused):
            return Reject(str(cause))
        cause = cause.__cause__
    if isinstance(error, asyncio.TimeoutError):
        return Retry(f"no answer within {settings.timeout:g} s")
    return Retry(f"the receiver could not be reached: {error}")
