"""Tenants that take turns: how many jobs wait for a place. Who gets one is decided in `lua/store/tenants.lua`."""

from __future__ import annotations

from jobkit.backends.redis.submit import store_script

WAITING = store_script("waiting")
