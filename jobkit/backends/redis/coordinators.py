"""By which coordinators the workers on this store go: more than one is a mistake that no lease can show."""

from __future__ import annotations

from jobkit.backends.redis.submit import store_script

NOTE = store_script("note_coordinator")
NOTED = store_script("coordinators")
