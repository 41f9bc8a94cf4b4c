"""Jobs that are to run later: what the server is asked as they are due."""

from __future__ import annotations

from jobkit.backends.redis.submit import store_script

RELEASE = store_script("release_due", "outbox")
