"""Forgetting: committed jobs after their time, and the marks of keys that nobody uses. The server does it."""

from __future__ import annotations

from jobkit.backends.redis.submit import store_script

PRUNE = store_script("prune")
# How many keys are looked at for each job that may be forgotten in one call.
KEYS_PER_JOB = 4
