"""From settings to examinations: the one place that knows what can look at which backend.

Planes whose URLs name the same backend are looked at together. Nothing is raised: what keeps a backend from being
looked at is what came of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import anyio

from jobkit.backends.sqlite.connection import database_path, path_identity
from jobkit.errors import ConfigurationError, JobkitError, Unavailable
from jobkit.model.clock import Clock
from jobkit.ports.diagnosis import Finding
from jobkit.settings import Settings

_LIMIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Backend:
    """One backend, as the settings name it, and the planes that are kept there."""

    url: str
    planes: tuple[str, ...]
    settings: Settings
    clock: Clock


@dataclass(frozen=True, slots=True)
class Diagnostician:
    """What looks at one kind of backend; `extra` is that of the package which holds its driver."""

    kind: str
    diagnose: Callable[[Backend], Awaitable[list[Finding]]]
    extra: str = ""


@dataclass(frozen=True, slots=True)
class BackendDiagnosis:
    """What came of looking at one backend, where `planes` are kept: findings, or an error."""

    kind: str
    planes: tuple[str, ...]
    findings: Sequence[Finding] = ()
    error: JobkitError | None = None


# The modules are imported when they are needed: who does without a backend need not have its packages.


async def _sqlite(backend: Backend) -> list[Finding]:
    from jobkit.backends.sqlite.diagnosis import diagnose

    return await diagnose(backend.url, backend.clock)


async def _directory(backend: Backend) -> list[Finding]:
    from jobkit.backends.local_files.diagnosis import diagnose

    return await diagnose(backend.url)


async def _redis(backend: Backend) -> list[Finding]:
    from jobkit.backends.redis.diagnosis import diagnose

    # Some of it is so for each of the planes.
    return list(dict.fromkeys([finding for plane in backend.planes for finding in await diagnose(backend.url, plane)]))


async def _postgres(backend: Backend) -> list[Finding]:
    from jobkit.backends.postgres.diagnosis import diagnose

    return await diagnose(backend.url, backend.clock)


async def _rabbitmq(backend: Backend) -> list[Finding]:
    from jobkit.backends.rabbitmq.diagnosis import diagnose

    return await diagnose(
        backend.url,
        backend.clock,
        delivery_hold=backend.settings.delivery_hold,
        lease_ttl=backend.settings.lease_ttl,
        max_payload=backend.settings.max_payload_bytes,
    )


async def _s3(backend: Backend) -> list[Finding]:
    from jobkit.backends.s3.diagnosis import diagnose

    return await diagnose(backend.url, backend.clock)


_SQLITE = Diagnostician("sqlite", _sqlite)
_REDIS = Diagnostician("redis", _redis, "redis")
_POSTGRES = Diagnostician("postgresql", _postgres, "postgres")
_RABBITMQ = Diagnostician("rabbitmq", _rabbitmq, "rabbitmq")

DIAGNOSTICIANS: Mapping[str, Diagnostician] = {
    "sqlite": _SQLITE,
    "memory": _SQLITE,
    "file": Diagnostician("directory", _directory),
    "s3": Diagnostician("s3", _s3, "s3"),
    "redis": _REDIS,
    "rediss": _REDIS,
    "redis+sentinel": _REDIS,
    "rediss+sentinel": _REDIS,
    "postgresql": _POSTGRES,
    "postgres": _POSTGRES,
    "amqp": _RABBITMQ,
    "amqps": _RABBITMQ,
}


async def diagnose_backends(settings: Settings, clock: Clock) -> list[BackendDiagnosis]:
    """Look at every backend that the settings name, all at the same time."""
    found: dict[str, BackendDiagnosis] = {}

    async def look(diagnostician: Diagnostician, backend: Backend) -> None:
        found[backend.url] = await _examine(diagnostician, backend)

    backends = [Backend(url, planes, settings, clock) for url, planes in _by_backend(settings)]
    async with anyio.create_task_group() as looking:
        for backend in backends:
            # One that no backend is for is told when it is opened.
            if diagnostician := DIAGNOSTICIANS.get(backend.url.partition(":")[0]):
                looking.start_soon(look, diagnostician, backend)
    return [found[backend.url] for backend in backends if backend.url in found]


def _by_backend(settings: Settings) -> list[tuple[str, tuple[str, ...]]]:
    """Return each URL, with the planes that are kept there."""
    together: dict[str, tuple[str, tuple[str, ...]]] = {}
    for plane in ("broker", "coordinator", "store", "blobs"):
        url = getattr(settings, f"{plane}_url").get_secret_value()
        first, planes = together.get(_identity(url), (url, ()))
        together[_identity(url)] = first, (*planes, plane)
    return list(together.values())


def _identity(url: str) -> str:
    """Return what two URLs of the same database file have in common."""
    if not url.startswith(("sqlite:", "memory:")):
        return url
    try:
        return path_identity(database_path(url))
    except ConfigurationError:
        return url


async def _examine(diagnostician: Diagnostician, backend: Backend) -> BackendDiagnosis:
    try:
        with anyio.fail_after(_LIMIT_SECONDS):
            findings = await diagnostician.diagnose(backend)
    except ModuleNotFoundError:
        needs = f"{diagnostician.kind} needs more packages: pip install 'jobkit[{diagnostician.extra}]'"
        return BackendDiagnosis(diagnostician.kind, backend.planes, error=ConfigurationError(needs))
    except JobkitError as error:
        return BackendDiagnosis(diagnostician.kind, backend.planes, error=error)
    except TimeoutError:
        silent = Unavailable(backend.planes[0], f"no answer within {_LIMIT_SECONDS:g} s")
        return BackendDiagnosis(diagnostician.kind, backend.planes, error=silent)
    return BackendDiagnosis(diagnostician.kind, backend.planes, findings)
