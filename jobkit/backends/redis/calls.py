"""How the store asks the server: by two connections, so that no look at a long list keeps a commit waiting."""

from __future__ import annotations

from jobkit.backends.redis.connection import Connector
from jobkit.backends.redis.scripts import Scripts
from jobkit.model.plane import Plane


class Calls:
    """The connections that each part of the store shares; made inside a running event loop."""

    def __init__(self, connector: Connector) -> None:
        self._scripts = Scripts(connector, Plane.STORE)
        # Looks at long lists go by a way of their own, so that none keeps a commit waiting.
        self._looks = Scripts(connector, Plane.STORE)

    @property
    def round_trips(self) -> int:
        """How many requests were sent to the server so far."""
        return self._scripts.round_trips + self._looks.round_trips
