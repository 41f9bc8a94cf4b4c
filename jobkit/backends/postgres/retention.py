"""Forgetting: committed jobs after their time, and the marks of keys that nobody uses. The server does it."""

from __future__ import annotations

PRUNE = "SELECT jobkit.prune($1, $2, $3, $4) AS gone"

# How many keys are looked at for each job that may be forgotten in one call.
KEYS_PER_JOB = 4
