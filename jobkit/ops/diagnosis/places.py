"""What the doctor looks at in each place that the settings name: a server, a database, a directory.

Planes that are kept in the same place are looked at together. Nothing is raised: what keeps a place from being looked
at is what came of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from jobkit.backends.registry import diagnose_place, places_of
from jobkit.errors import JobkitError, NotThereYet, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.plane import Plane
from jobkit.ports.backend import Backend, Place
from jobkit.ports.diagnosis import Finding, Status, failure
from jobkit.settings import Settings

_LIMIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class PlaceDiagnosis:
    """What came of looking at one place, where `planes` are kept: findings, or an error. `kind` is the backend."""

    kind: str
    planes: tuple[Plane, ...]
    findings: Sequence[Finding] = ()
    error: JobkitError | None = None

    @property
    def absent(self) -> bool:
        """Whether nothing is here yet, so that there is nothing to ask."""
        return isinstance(self.error, NotThereYet)

    @property
    def in_trouble(self) -> bool:
        """Whether the planes here are known not to work, so that the same need not be said of each of them again."""
        return self.error is not None or any(finding.status is Status.FAIL for finding in self.findings)

    def summary(self) -> list[Finding]:
        """Return all that is fine as one finding, and each thing that is not as one of its own."""
        if self.absent:
            # As with a new installation: nothing need be wrong.
            return [self._of(Finding(Status.WARN, str(self.error)), self._remedy())]
        if self.error is not None:
            return [self._of(failure(self.error), self._remedy())]
        fine = ", ".join(finding.what for finding in self.findings if finding.status is Status.OK)
        bad = [self._of(finding, finding.change) for finding in self.findings if finding.status is not Status.OK]
        return [self._of(Finding(Status.OK, fine), ""), *bad] if fine else bad

    def _of(self, finding: Finding, change: str) -> Finding:
        return Finding(finding.status, f"{', '.join(self.planes)}: {finding.what}", change, self.kind)

    def _remedy(self) -> str:
        variables = " and ".join(plane.variable for plane in self.planes)
        if isinstance(self.error, Unavailable):
            return f"see that it runs, and that {variables} names it"
        return f"see {variables}"


async def diagnose_places(settings: Settings, clock: Clock) -> list[PlaceDiagnosis]:
    """Look at every place that the settings name, all at the same time."""
    places = places_of(settings, clock)
    found: dict[str, PlaceDiagnosis] = {}

    async def look(backend: Backend, place: Place) -> None:
        found[place.url] = await _diagnose(backend, place)

    async with anyio.create_task_group() as looking:
        for backend, place in places:
            looking.start_soon(look, backend, place)
    return [found[place.url] for _, place in places]


async def _diagnose(backend: Backend, place: Place) -> PlaceDiagnosis:
    try:
        with anyio.fail_after(_LIMIT_SECONDS):
            findings = await diagnose_place(backend, place)
    except JobkitError as error:
        return PlaceDiagnosis(backend.name, place.planes, error=error)
    except TimeoutError:
        silent = Unavailable(place.planes[0], f"no answer within {_LIMIT_SECONDS:g} s")
        return PlaceDiagnosis(backend.name, place.planes, error=silent)
    return PlaceDiagnosis(backend.name, place.planes, findings)
