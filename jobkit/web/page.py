"""What a page is made from, and what it is made into."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import QueryParams

from jobkit.client.layouts import Layouts
from jobkit.errors import JobkitError
from jobkit.model.clock import Clock
from jobkit.plugin.registry import Registry
from jobkit.ports.planes import Planes
from jobkit.settings import Settings
from jobkit.web.access import User
from jobkit.web.history import History
from jobkit.web.page_cache import PageCache


class NotFound(JobkitError):
    """There is no such page, or not what it would be of."""


@dataclass(frozen=True, slots=True)
class Backstage:
    """What all pages share."""

    planes: Planes
    registry: Registry
    settings: Settings
    clock: Clock
    looks: PageCache
    history: History
    layouts: Layouts


@dataclass(frozen=True, slots=True)
class View:
    """One request for a page: who asks, and for what."""

    backstage: Backstage
    user: User
    path: Mapping[str, str]
    query: QueryParams

    @property
    def planes(self) -> Planes:
        """The backends."""
        return self.backstage.planes

    @property
    def now(self) -> float:
        """The wall clock's time, in Unix seconds."""
        return self.backstage.clock.wall()

    async def partitions(self, type: str) -> int:
        """Return how many partitions a type has now. Raises `Unavailable`."""
        layouts = self.backstage.layouts
        if not layouts.fresh(()):
            await layouts.refresh()
        return layouts.of(type).partitions

    def said(self, name: str) -> str | None:
        """Return what the query says under a name; None for nothing."""
        return self.query.get(name) or None

    def all_said(self, name: str) -> Sequence[str]:
        """Return all that the query says under a name."""
        return self.query.getlist(name)

    def number(self, name: str, otherwise: int, *, most: int) -> int:
        """Return a number of the query, from 1 to `most`."""
        said = self.query.get(name, "")
        return min(most, max(1, int(said))) if said.isdecimal() and len(said) < 18 else otherwise


@dataclass(frozen=True, slots=True)
class Page:
    """A template, and what it shows. `live`: what it shows changes by itself."""

    template: str
    title: str
    shows: Mapping[str, Any] = field(default_factory=dict)
    live: bool = True


MakePage = Callable[[View], Awaitable[Page]]


@dataclass(frozen=True, slots=True)
class Place:
    """A page's path, and its name in the navigation, where it has one."""

    path: str
    make: MakePage
    label: str = ""


Places = Sequence[Place]
