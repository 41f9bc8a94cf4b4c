"""What must be so of a server for jobkit to rely on it, and what is: version, memory, persistence, permissions.

It finds out, and decides nothing but whether a store may be opened at all. Nothing that anybody would notice is
written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog
from redis.asyncio.connection import Connection
from redis.exceptions import NoPermissionError, RedisError

from jobkit.backends.redis.address import parse_address
from jobkit.backends.redis.connection import Connector
from jobkit.backends.redis.faults import translated
from jobkit.backends.redis.scripts import REPLY_SECONDS, Scripts
from jobkit.backends.redis.submit import store_script
from jobkit.backends.versions import too_old
from jobkit.errors import ConfigurationError
from jobkit.model.plane import Plane
from jobkit.ports.diagnosis import Finding, Status

_log = structlog.get_logger("jobkit.redis")

_REPLICAS, _LAG = "min-replicas-to-write", "min-replicas-max-lag"
OLDEST_VERSION = "6.2"
_LAYOUT = 1
_CHECK = store_script("check")


async def diagnose(url: str, plane: Plane) -> list[Finding]:
    """Return what there is to say of the server at `url`, for the store or the coordinator.

    Raises `ConfigurationError` or `Unavailable`.
    """
    address = parse_address(url)
    told = await _ask(Connector(address), plane)
    if not told:
        return [_untold()]
    findings = [_version(told), _slots(told), _role(told), _memory(told, plane)]
    if plane == Plane.STORE:
        findings += [_persistence(told), *([_replicas(told)] if address.service else [])]
    return findings


async def check_store(connector: Connector) -> None:
    """See that a store can be kept on a server, and be loud about what makes it less than safe there.

    Raises `ConfigurationError` where the server would throw away what must be kept, or `Unavailable`.
    """
    told = await _ask(connector, Plane.STORE)
    findings = [_version(told), _slots(told), _memory(told, Plane.STORE)] if told else [_untold()]
    for finding in findings:
        if finding.status is Status.FAIL:
            raise ConfigurationError(f"{connector.name}: {finding.what}; {finding.change}")
    for finding in [*findings, _persistence(told)] if told else findings:
        if finding.status is not Status.OK:
            _log.warning(finding.what, server=connector.name, change=finding.change)
    scripts = Scripts(connector, Plane.STORE)
    try:
        layout = int(await scripts.run(_CHECK, str(_LAYOUT)))
    finally:
        await scripts.aclose()
    if layout != _LAYOUT:
        raise ConfigurationError(
            f"{connector.name} was written by another version of jobkit (layout {layout}, this one knows {_LAYOUT}): "
            "use that version, or choose another database"
        )


async def _ask(connector: Connector, plane: Plane) -> dict[str, str]:
    """Return what the server tells of itself; nothing where this user may not ask."""
    try:
        async with connector.connected() as connection, asyncio.timeout(REPLY_SECONDS):
            return await _told(connection)
    except (RedisError, OSError, TimeoutError) as error:
        raise translated(error, plane, connector.name) from error


async def _told(connection: Connection) -> dict[str, str]:
    told: dict[str, str] = {}
    try:
        await connection.send_command("INFO")
        for line in (await connection.read_response()).decode().splitlines():
            name, _, value = line.partition(":")
            told[name] = value
        # Managed servers do not let their users ask for these.
        for setting in ("appendfsync", _REPLICAS, _LAG):
            await connection.send_command("CONFIG", "GET", setting)
            name, value = await connection.read_response()
            told[name.decode()] = value.decode()
    except NoPermissionError:
        pass
    return told


def _untold() -> Finding:
    what = "Redis does not let this user ask for its settings (INFO), so they are not checked"
    return Finding(Status.WARN, what, "permit INFO, or compare the settings with docs/redis.md by hand")


def _version(told: Mapping[str, str]) -> Finding:
    version = told["redis_version"]
    if (old := too_old("Redis", version, OLDEST_VERSION)) is not None:
        return Finding(Status.FAIL, old, "upgrade the server")
    return Finding(Status.OK, f"Redis {version}")


def _slots(told: Mapping[str, str]) -> Finding:
    if told.get("cluster_enabled") == "1":
        change = "name a server that is not clustered; jobkit needs all of its keys on one"
        return Finding(Status.FAIL, "it is a node of a cluster", change)
    return Finding(Status.OK, "it is not clustered")


def _role(told: Mapping[str, str]) -> Finding:
    if told.get("role") == "slave":
        change = "name its primary, or the sentinels: redis+sentinel://"
        return Finding(Status.FAIL, "it is a replica, which takes no writes", change)
    return Finding(Status.OK, "it takes writes")


def _memory(told: Mapping[str, str], plane: Plane) -> Finding:
    policy = told.get("maxmemory_policy", "noeviction")
    what = f"maxmemory-policy {policy}"
    change = "set maxmemory-policy noeviction"
    if policy == "noeviction":
        return Finding(Status.OK, what)
    if plane == Plane.COORDINATOR:
        what = f"{what}: when memory is short, leases are thrown away, and jobs are begun twice (one of them commits)"
        return Finding(Status.WARN, what, change)
    if policy.startswith("volatile"):
        # Nothing that is true has an expiry.
        return Finding(Status.OK, what)
    if told.get("maxmemory", "0") == "0":
        return Finding(Status.WARN, f"{what}: harmless only as long as maxmemory is not set", change)
    return Finding(Status.FAIL, f"{what}: when memory is short, Redis would throw away committed jobs", change)


def _persistence(told: Mapping[str, str]) -> Finding:
    if told.get("aof_enabled") != "1":
        what = "appendonly no: what was accepted and committed is lost when Redis ends"
        return Finding(Status.FAIL, what, "set appendonly yes and appendfsync always")
    fsync = told.get("appendfsync")
    what = f"appendonly yes, appendfsync {fsync or 'unknown (CONFIG is not permitted)'}"
    if fsync == "always":
        return Finding(Status.OK, what)
    risk = f"{what}: a power cut may take back the last moments: jobs accepted then are gone, jobs committed run again"
    return Finding(Status.WARN, risk, "set appendfsync always")


def _replicas(told: Mapping[str, str]) -> Finding:
    """Look whether a primary that was cut off from its sentinels stops to take writes, which nobody would ever see."""
    replicas, lag = told.get(_REPLICAS), told.get(_LAG)
    what = f"{_REPLICAS} {replicas or 'unknown (CONFIG is not permitted)'}"
    if replicas not in (None, "0") and lag != "0":
        return Finding(Status.OK, f"{what}, {_LAG} {lag}")
    risk = f"{what}: what a primary accepts while it is cut off from its sentinels is lost when they name another"
    return Finding(Status.WARN, risk, f"set {_REPLICAS} 1 and {_LAG} 1, on every server that may become the primary")
