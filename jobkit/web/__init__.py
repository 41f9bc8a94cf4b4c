"""The dashboard: what jobs, keys and workers are doing, for people, as an ASGI application."""
