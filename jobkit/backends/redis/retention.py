"""Forgetting: jobs after their time, and marks of keys that nobody uses. The server does it."""

from __future__ import annotations

from jobkit.backends.redis.submit import ENDING, store_script

PRUNE = store_script("retention", "outbox", *ENDING, "end_early")
TRIM_LOG = store_script("trim_log")
DROP_FILES = store_script("drop_files")
