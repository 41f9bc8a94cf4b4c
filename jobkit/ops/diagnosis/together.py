"""Whether the planes fit together: what one machine keeps for itself, beside servers that all machines share."""

from __future__ import annotations

from jobkit.backends.registry import backend_of, local_beside_network, unset_planes
from jobkit.errors import ConfigurationError
from jobkit.model.plane import Plane
from jobkit.ports.diagnosis import Finding, Status
from jobkit.settings import Settings

_PART = "together"


def check_together(settings: Settings) -> list[Finding]:
    """Return what does not fit. What has no backend is told where it is opened."""
    try:
        local, beside = local_beside_network(settings)
        forgotten = [Finding(Status.FAIL, problem, part=_PART) for problem in unset_planes(settings)]
        files = backend_of(settings, Plane.BLOBS)
    except ConfigurationError:
        return []
    chosen = [
        Finding(
            Status.WARN,
            f"the {plane} is kept on this machine alone, beside {beside}",
            f"let {plane.variable} name a server, unless all workers run on this machine",
            _PART,
        )
        for plane in local
        if plane.setting in settings.model_fields_set
    ]
    if beside and files.local and Plane.BLOBS.setting not in settings.model_fields_set:
        alone = f"files are kept in a directory of this machine, beside {beside}"
        change = f"let {Plane.BLOBS.variable} name a bucket or a directory that all machines share"
        chosen.append(Finding(Status.WARN, alone, change, _PART))
    return [*forgotten, *chosen]
