"""Names that the campaign and the worker processes it starts must agree on."""

from __future__ import annotations

TYPE = "campaign.step"
TALLY = "tally"
# Where a worker writes its metrics, and whether it is to ack before it has committed.
METRICS_VARIABLE = "CAMPAIGN_METRICS"
EARLY_ACKS_VARIABLE = "CAMPAIGN_EARLY_ACKS"
