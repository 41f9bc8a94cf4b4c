"""How the store asks the engine: as the plane that it is."""

from __future__ import annotations

from jobkit.backends.sqlite.engine import Engine
from jobkit.model.plane import Plane


class Calls:
    """The engine that each part of the store shares."""

    def __init__(self, engine: Engine) -> None:
        self._plane = engine.plane(Plane.STORE)
