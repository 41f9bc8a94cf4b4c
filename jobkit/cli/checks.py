"""What `jobkit doctor` looks at, one function for each part of the installation.

A check changes nothing that anybody would notice: what it writes, to see whether it can, it takes back. It does not
raise: what goes wrong is its finding.
"""

from __future__ import annotations

import platform
import shutil
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path

from jobkit.backends.directory.blobs import directory_root
from jobkit.backends.sqlite.connection import MEMORY, database_path
from jobkit.clock import Clock
from jobkit.errors import ConfigurationError, JobkitError, Unavailable
from jobkit.fence import Fence
from jobkit.ids import new_nonce, new_owner
from jobkit.plugins import Registry
from jobkit.ports.blobs import BlobSpace
from jobkit.ports.coordinator import Granted, LeaseRef
from jobkit.ports.planes import Planes
from jobkit.settings import Settings

# Below the first work will soon stop, below the second it is as good as stopped.
_LITTLE_DISK_BYTES = 1 << 30
_NO_DISK_BYTES = 100 << 20
# The wall clock decides nothing, but dates in records and logs are to be believed.
_EARLIEST_SANE_WALL = 1_735_689_600.0  # 2025-01-01
_WALL_TOLERANCE_SECONDS = 5.0
_PROBE_LEASE_SECONDS = 10.0
# An accepted job that is not published after this long has no worker to publish it.
_OUTBOX_PATIENCE_SECONDS = 60.0
_FOREVER_SECONDS = 1e12


class Status(StrEnum):
    """What came out of a check. `UNREACHABLE` is a failure of its own kind, with its own exit code."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: which part, what is so, and, where it is not well, what to change."""

    part: str
    status: Status
    what: str
    change: str = ""


def failed(part: str, error: BaseException) -> Finding:
    """Return the finding that an error is; its message says what to change."""
    status = Status.UNREACHABLE if isinstance(error, Unavailable) else Status.FAIL
    return Finding(part, status, str(error))


def check_versions() -> list[Finding]:
    """Say what runs here."""
    versions = f"jobkit {version('jobkit')}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return [Finding("versions", Status.OK, versions)]


async def check_plugins(load: Callable[[], Registry]) -> list[Finding]:
    """Load every plugin, validate its settings and ask its own check about this machine."""
    part = "plugins"
    try:
        registry = load()
    except ConfigurationError as error:
        return [failed(part, error)]
    # Installed together with what is used, perhaps, and never needed: no failure.
    findings = [Finding(part, Status.WARN, reason) for _, reason in sorted(registry.broken.items())]
    if not registry.processors:
        none = "no job types are installed, and JOBKIT_PLUGINS names none"
        make = "install a plugin, name its module, or make one: jobkit new-plugin"
        return [*findings, Finding(part, Status.WARN, none, make)]
    findings.append(Finding(part, Status.OK, f"job types: {', '.join(sorted(registry.processors))}"))
    for type in sorted(registry.processors):
        try:
            registry.settings([type])
            findings += [Finding(part, Status.FAIL, problem) for problem in await registry.problems([type])]
        except Exception as error:  # noqa: BLE001  (somebody else's code: whatever it raises is what is wrong with it)
            what = str(error) if isinstance(error, JobkitError) else f"its check failed: {error!r}"
            findings.append(Finding(part, Status.FAIL, what if type in what else f"{type}: {what}"))
    return findings


def check_clock(settings: Settings, clock: Clock) -> list[Finding]:
    """See that the wall clock can be believed, and that the other one goes forward.

    Must be asked before the backends are opened, for they write to the files whose dates are looked at.
    """
    part = "clock"
    first, second = clock.now(), clock.now()
    if second < first:
        backwards = "the machine's monotonic clock went backwards"
        return [Finding(part, Status.FAIL, backwards, "repair or replace the machine")]
    if clock.wall() < _EARLIEST_SANE_WALL:
        return [
            Finding(part, Status.WARN, "the wall clock is set to before 2025", "set it; dates in records are wrong")
        ]
    for path in map(Path, _databases(settings)):
        if path.is_file() and path.stat().st_mtime > clock.wall() + _WALL_TOLERANCE_SECONDS:
            ahead = f"{path} was written in the future: the wall clock was set back"
            return [Finding(part, Status.WARN, ahead, "have the clock kept by NTP")]
    return [Finding(part, Status.OK, "the wall clock is plausible, and the monotonic one goes forward")]


def check_sqlite(settings: Settings) -> list[Finding]:
    """Look at the database files behind the planes."""
    findings = []
    for path, planes in _databases(settings).items():
        named = f"{path} ({', '.join(planes)})"
        if path == MEMORY:
            forgets = f"{named} lives in memory: no other process sees it, and it is forgotten with this one"
            findings.append(Finding("sqlite", Status.WARN, forgets, "name a file: sqlite:///jobkit.db"))
        else:
            findings.append(_database(path, named))
    return findings


def _databases(settings: Settings) -> dict[str, list[str]]:
    """Return the databases there are by path, with the planes that they hold."""
    found: dict[str, list[str]] = {}
    for plane in ("broker", "coordinator", "store"):
        url = getattr(settings, f"{plane}_url").get_secret_value()
        if url.startswith(("sqlite:", "memory:")):
            found.setdefault(database_path(url), []).append(plane)
    return found


def _database(path: str, named: str) -> Finding:
    try:
        # Through a connection of its own, so that it is the file that is asked, and not a cache.
        with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        size = Path(path).stat().st_size
    except (sqlite3.Error, OSError) as error:
        return Finding("sqlite", Status.FAIL, f"{named} cannot be read: {error}", "restore it from a backup")
    what = f"{named}: journal mode {mode}, {_size(size)}"
    if mode == "wal":
        return Finding("sqlite", Status.OK, what)
    return Finding("sqlite", Status.FAIL, what, "put it on a local disk, where journal mode wal works")


async def check_redis(settings: Settings) -> list[Finding]:
    """Look at the settings of the Redis servers behind the planes."""
    findings = []
    for plane in ("coordinator", "store"):
        url = getattr(settings, f"{plane}_url").get_secret_value()
        if url.startswith(("redis:", "rediss:", "redis+sentinel:", "rediss+sentinel:")):
            findings += await _asking("redis", _redis(url, plane))
    return findings


async def _redis(url: str, plane: str) -> list[Finding]:
    # Not above: who does without Redis need not have its packages.
    from jobkit.backends.redis.examination import Severity, examine

    statuses = {Severity.FINE: Status.OK, Severity.RISK: Status.WARN, Severity.BROKEN: Status.FAIL}
    found = await examine(url, plane)
    fine = ", ".join(finding.what for finding in found if finding.severity is Severity.FINE)
    bad = [finding for finding in found if finding.severity is not Severity.FINE]
    return [
        *([Finding("redis", Status.OK, f"{plane}: {fine}")] if fine else []),
        *(Finding("redis", statuses[finding.severity], f"{plane}: {finding.what}", finding.change) for finding in bad),
    ]


def check_disk(settings: Settings) -> list[Finding]:
    """See that there is room where jobkit writes; a disk that holds several of its parts is looked at once."""
    directories = [Path(path).parent for path in _databases(settings) if path != MEMORY]
    blobs = settings.blobs_url.get_secret_value()
    if blobs.startswith("file:"):
        directories.append(directory_root(blobs))
    disks = {directory.stat().st_dev: directory for directory in directories if directory.is_dir()}
    return [_room(directory) for directory in disks.values()]


def _room(directory: Path) -> Finding:
    free = shutil.disk_usage(directory).free
    what = f"{_size(free)} free at {directory.absolute()}"
    if free >= _LITTLE_DISK_BYTES:
        return Finding("disk", Status.OK, what)
    status = Status.WARN if free >= _NO_DISK_BYTES else Status.FAIL
    return Finding("disk", status, what, "make room, or choose another disk")


async def check_planes(planes: Planes, settings: Settings, clock: Clock) -> list[Finding]:
    """Ask every plane something, and have it write something."""
    return [
        *await _asking("broker", _broker(planes, settings)),
        *await _asking("coordinator", _coordinator(planes)),
        *await _asking("store", _store(planes, clock)),
        *await _asking("blobs", _blobs(planes)),
    ]


async def _asking(part: str, check: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        return await check
    except (JobkitError, OSError) as error:
        return [failed(part, error)]


async def _broker(planes: Planes, settings: Settings) -> list[Finding]:
    part = "broker"
    depths = await planes.broker.depths()
    declared = Counter(depth.partition.type for depth in depths)
    waiting: Counter[str] = Counter()
    for depth in depths:
        waiting[depth.partition.type] += depth.ready
    what = f"answers; {sum(waiting.values())} messages wait in the queues of {len(declared)} job types"
    findings = [Finding(part, Status.OK, what)]
    served = {type for member in await planes.coordinator.members() for type in member.types}
    for type, partitions in sorted(declared.items()):
        if partitions != settings.partitions:
            differs = f"{type} has {partitions} partitions, JOBKIT_PARTITIONS is {settings.partitions}"
            findings.append(Finding(part, Status.FAIL, differs, f"set JOBKIT_PARTITIONS={partitions}"))
        if waiting[type] and type not in served:
            idle = f"{waiting[type]} messages of {type} wait, and no live worker serves it"
            findings.append(Finding(part, Status.WARN, idle, f"jobkit worker {type}"))
    return findings


async def _coordinator(planes: Planes) -> list[Finding]:
    part, resource = "coordinator", "doctor"
    nonce = new_nonce()
    answer = await planes.coordinator.claim(resource, owner=new_owner(), nonce=nonce, ttl=_PROBE_LEASE_SECONDS)
    members = await planes.coordinator.members()
    workers = f"{len(members)} live workers"
    if not isinstance(answer, Granted):
        return [Finding(part, Status.OK, f"answers (another doctor holds the test lease); {workers}")]
    lease = LeaseRef(resource, answer.token, nonce)
    kept = lease in await planes.coordinator.renew([lease], ttl=_PROBE_LEASE_SECONDS)
    freed = await planes.coordinator.release(lease)
    if not (kept and freed):
        return [
            Finding(part, Status.FAIL, "it lost a lease at once", "look for what makes it forget: memory, eviction")
        ]
    return [Finding(part, Status.OK, f"grants, renews and releases leases; {workers}")]


async def _store(planes: Planes, clock: Clock) -> list[Finding]:
    part = "store"
    # Nothing is old enough to go, so this only shows that the store takes a write.
    await planes.inspection.forget(older_than=_FOREVER_SECONDS, keep_at_most=1 << 53, batch=1)
    counts = await planes.inspection.counts()
    jobs = ", ".join(f"{number} {state.value}" for state, number in counts.jobs.items() if number) or "no jobs"
    findings = [Finding(part, Status.OK, f"answers and takes writes; {jobs}")]
    if counts.dead:
        findings.append(Finding(part, Status.WARN, f"{counts.dead} dead letters", "jobkit dead list"))
    if counts.parked:
        findings.append(Finding(part, Status.WARN, f"{counts.parked} jobs are parked", "jobkit gaps list"))
    if await planes.store.outbox(older_than=_OUTBOX_PATIENCE_SECONDS, limit=1):
        late = f"accepted jobs have waited for over {_OUTBOX_PATIENCE_SECONDS:g} s to be published"
        findings.append(Finding(part, Status.WARN, late, "start a worker, and look at its log"))
    latest = await planes.inspection.jobs(limit=1)
    if latest and latest[0].submitted_at > clock.wall() + _WALL_TOLERANCE_SECONDS:
        ahead = f"job {latest[0].id} was submitted in the future: two machines disagree about the time"
        findings.append(Finding("clock", Status.WARN, ahead, "have their clocks kept by NTP"))
    return findings


async def _blobs(planes: Planes) -> list[Finding]:
    part = "blobs"
    written = b"jobkit doctor\n"
    space = BlobSpace("doctor", "doctor", Fence(token=1, nonce=new_nonce(), owner=new_owner()))
    async with planes.blobs.scratch(space) as directory:
        source = directory / "probe"
        source.write_bytes(written)
        blob = await planes.blobs.store(space, "probe", source)
        try:
            read = b"".join([chunk async for chunk in planes.blobs.read(blob.location)])
        finally:
            await planes.blobs.delete([blob.location])
    if read != written:
        return [Finding(part, Status.FAIL, "a file came back other than it was written", "replace the disk or service")]
    return [Finding(part, Status.OK, "stores, returns and deletes files")]


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
