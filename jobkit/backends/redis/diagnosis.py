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
from jobkit.errors import ConfigurationError
from jobkit.ports.diagnosis import Finding, Severity

_log = structlog.get_logger("jobkit.redis")

_OLDEST_VERSION = (6, 2)
_LAYOUT = 1
_CHECK = store_script("check")


async def diagnose(url: str, plane: str) -> list[Finding]:
    """Return what there is to say of the server at `url`, for the plane "store" or "coordinator".

    Raises `ConfigurationError` or `Unavailable`.
    """
    told = await _ask(Connector(parse_address(url)), plane)
    if not told:
        return [_untold()]
    findings = [_version(told), _slots(told), _role(told), _memory(told, plane)]
    return [*findings, _persistence(told)] if plane == "store" else findings


async def check_store(connector: Connector) -> None:
    """See that a store can be kept on a server, and be loud about what makes it less than safe there.

    Raises `ConfigurationError` where the server would throw away what must be kept, or `Unavailable`.
    """
    told = await _ask(connector, "store")
    findings = [_version(told), _slots(told), _memory(told, "store")] if told else [_untold()]
    for finding in findings:
        if finding.severity is Severity.BROKEN:
            raise ConfigurationError(f"{connector.name}: {finding.what}; {finding.change}")
    for finding in [*findings, _persistence(told)] if told else findings:
        if finding.severity is not Severity.FINE:
            _log.warning(finding.what, server=connector.name, change=finding.change)
    scripts = Scripts(connector, "store")
    try:
        layout = int(await scripts.run(_CHECK, str(_LAYOUT)))
    finally:
        await scripts.aclose()
    if layout != _LAYOUT:
        raise ConfigurationError(
            f"{connector.name} was written by another version of jobkit (layout {layout}, this one knows {_LAYOUT}): "
            "use that version, or choose another database"
        )


async def _ask(connector: Connector, plane: str) -> dict[str, str]:
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
        # Managed servers do not let their users ask for this.
        await connection.send_command("CONFIG", "GET", "appendfsync")
        name, value = await connection.read_response()
        told[name.decode()] = value.decode()
    except NoPermissionError:
        pass
    return told


def _untold() -> Finding:
    what = "Redis does not let this user ask for its settings (INFO), so they are not checked"
    return Finding(Severity.RISK, what, "permit INFO, or compare the settings with docs/redis.md by hand")


def _version(told: Mapping[str, str]) -> Finding:
    version = told["redis_version"]
    what = f"Redis {version}"
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_VERSION:
        return Finding(Severity.BROKEN, f"{what} is too old", "upgrade to 6.2 or newer")
    return Finding(Severity.FINE, what)


def _slots(told: Mapping[str, str]) -> Finding:
    if told.get("cluster_enabled") == "1":
        change = "name a server that is not clustered; jobkit needs all of its keys on one"
        return Finding(Severity.BROKEN, "it is a node of a cluster", change)
    return Finding(Severity.FINE, "it is not clustered")


def _role(told: Mapping[str, str]) -> Finding:
    if told.get("role") == "slave":
        change = "name its primary, or the sentinels: redis+sentinel://"
        return Finding(Severity.BROKEN, "it is a replica, which takes no writes", change)
    return Finding(Severity.FINE, "it takes writes")


def _memory(told: Mapping[str, str], plane: str) -> Finding:
    policy = told.get("maxmemory_policy", "noeviction")
    what = f"maxmemory-policy {policy}"
    change = "set maxmemory-policy noeviction"
    if policy == "noeviction":
        return Finding(Severity.FINE, what)
    if plane == "coordinator":
        what = f"{what}: when memory is short, leases are thrown away, and jobs are begun twice (one of them commits)"
        return Finding(Severity.RISK, what, change)
    if policy.startswith("volatile"):
        # Nothing that is true has an expiry.
        return Finding(Severity.FINE, what)
    if told.get("maxmemory", "0") == "0":
        return Finding(Severity.RISK, f"{what}: harmless only as long as maxmemory is not set", change)
    return Finding(Severity.BROKEN, f"{what}: when memory is short, Redis would throw away committed jobs", change)


def _persistence(told: Mapping[str, str]) -> Finding:
    if told.get("aof_enabled") != "1":
        what = "appendonly no: what was accepted and committed is lost when Redis ends"
        return Finding(Severity.BROKEN, what, "set appendonly yes and appendfsync always")
    fsync = told.get("appendfsync")
    what = f"appendonly yes, appendfsync {fsync or 'unknown (CONFIG is not permitted)'}"
    if fsync == "always":
        return Finding(Severity.FINE, what)
    risk = f"{what}: a power cut may take back the last moments: jobs accepted then are gone, jobs committed run again"
    return Finding(Severity.RISK, risk, "set appendfsync always")
