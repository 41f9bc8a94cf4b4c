"""Names that the campaign and the worker processes it starts must agree on."""

from __future__ import annotations

TYPE = "campaign.step"
# What people steer: cancelled, put off, given so long to begin, made by a schedule, and limited.
ERRAND = "campaign.errand"
# Work that is kept, in groups.
PIECE = "campaign.piece"
TALLY = "tally"
# Where a worker writes its metrics, and whether it is to ack before it has committed.
METRICS_VARIABLE = "CAMPAIGN_METRICS"
EARLY_ACKS_VARIABLE = "CAMPAIGN_EARLY_ACKS"
# By how many seconds a worker's wall clock is wrong.
WRONG_CLOCK_VARIABLE = "CAMPAIGN_WRONG_CLOCK"
# Where pieces write down what they were told of the work that is kept, and whether they are to look for none.
JOURNAL_VARIABLE = "CAMPAIGN_JOURNAL"
FORGETFUL_VARIABLE = "CAMPAIGN_FORGETFUL"
TICKS_APART_VARIABLE = "CAMPAIGN_TICKS_APART"
