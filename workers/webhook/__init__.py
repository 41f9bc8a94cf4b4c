"""The webhook plugin: signed events for programs elsewhere, by the Standard Webhooks specification."""

from __future__ import annotations

from workers.webhook.event import webhook_event, webhook_to
from workers.webhook.payload import Delivered, Webhook
from workers.webhook.processor import webhook

__all__ = ["Delivered", "Webhook", "webhook", "webhook_event", "webhook_to"]
