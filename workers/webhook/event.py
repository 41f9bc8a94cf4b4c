"""Events that follow from jobs: what `notify=` of a processor, and of a submit, is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import JsonValue
from pydantic_core import to_jsonable_python

from jobkit import EndState, JobInfo, Notification, Payload
from workers.webhook.payload import DEFAULT_SECRET, Webhook

P = TypeVar("P", bound=Payload)
R = TypeVar("R")


def webhook_event(
    event: str,
    *,
    to: str | Callable[[P], str | None],
    data: Callable[[P, R], Any] | None = None,
    secret: str | Callable[[P], str] = DEFAULT_SECRET,
) -> Callable[[P, R, JobInfo], Notification | None]:
    """Return what makes an event of each job that takes effect, for `processor(notify=...)`.

    `to` is the address, or says it of a payload; None: nobody wants to hear of that one. `data` makes the event's data
    of the payload and the result; without it they are the job's id, type and key, and the result. `secret` is the name
    of the secret that signs it.
    """

    def notify(job: P, result: R, info: JobInfo) -> Notification | None:
        url = to if isinstance(to, str) else to(job)
        if url is None:
            return None
        about = {"job": info.id, "type": info.type, "key": info.key}
        told = {**about, "result": result} if data is None else data(job, result)
        payload = Webhook.model_validate(
            {
                "url": url,
                "event": event,
                "data": to_jsonable_python(told, by_alias=True),
                "subject": info.id,
                "secret": secret if isinstance(secret, str) else secret(job),
            }
        )
        return Notification("webhook", payload)

    return notify


def webhook_to(
    url: str,
    *,
    event: str,
    on: Sequence[EndState] = ("committed",),
    data: JsonValue = None,
    secret: str = DEFAULT_SECRET,
) -> Notification:
    """Return the event of one job, for `submit(notify=[...])`: made where that job ends in one of the ways `on`.

    Its data are the job's id, type, key, state and result, with yours as `data`. `secret` is the name of the secret
    that signs it. Raises `ValidationError` for what is no address.
    """
    return Notification("webhook", Webhook(url=url, event=event, data=data, secret=secret), on=on)
