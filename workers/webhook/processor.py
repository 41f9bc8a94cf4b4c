"""The processor of job type `webhook`: one event, posted until it is taken or nobody wants it any more."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from jobkit import Concurrency, Context, Reject, Retry, RetryPolicy, processor
from workers.webhook import responses
from workers.webhook.addresses import AddressRefused, check_literal
from workers.webhook.payload import Delivered, Webhook
from workers.webhook.settings import WebhookSettings
from workers.webhook.signing import signed

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
    # Loading an HTTP client takes longer than most commands, all of which load what plugins declare.
    from workers.webhook.posting import posted

    settings = ctx.settings(WebhookSettings)
    _check_address(job, settings)
    body = body_of(job, ctx.job.submitted_at)
    headers = {
        "content-type": "application/json",
        "user-agent": "jobkit-webhook/1",
        **signed(ctx.job.id, int(ctx.clock.wall()), body, _secrets(job, settings)),
    }
    began = ctx.clock.now()
    status, told, excerpt = await posted(job.url, body, headers, settings)
    responses.check(status, told, excerpt, ctx.clock.wall())
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
