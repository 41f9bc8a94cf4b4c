"""What is found of a server, and which servers a store refuses."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from jobkit.backends.redis.diagnosis import diagnose
from jobkit.backends.registry import open_planes
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.lab.servers.base import free_port
from jobkit.lab.servers.redis import DURABLE, RedisServer, start_server
from jobkit.model.clock import SystemClock
from jobkit.ops.diagnosis.places import diagnose_places
from jobkit.ports.coordinator import Granted
from jobkit.ports.diagnosis import Finding, Status
from jobkit.settings import Settings
from jobkit.testing.conformance.values import committed, submitted
from tests.backends.redis.opened import store


def configure(server: RedisServer, **settings: str) -> None:
    for name, value in settings.items():
        server.call("CONFIG", "SET", name.replace("_", "-"), value)


async def found(server: RedisServer, plane: str = "store", *, login: str = "") -> dict[Status, list[str]]:
    found: dict[Status, list[str]] = {status: [] for status in Status}
    for finding in await diagnose(server.url(login=login), plane):
        found[finding.status].append(finding.what)
        assert finding.change or finding.status is Status.OK
    return found


async def refused(server: RedisServer, *, login: str = "") -> str:
    with pytest.raises(ConfigurationError) as caught:
        async with store(server.url(login=login)):
            pass
    return str(caught.value)


async def test_a_server_set_up_as_documented_is_fine_for_both_planes() -> None:
    server = start_server(DURABLE)
    for plane in ("store", "coordinator"):
        told = await found(server, plane)
        assert not told[Status.WARN], told
        assert not told[Status.FAIL], told
        assert any(what.startswith("Redis ") for what in told[Status.OK])
    with capture_logs() as logs:
        async with store(server.url()):
            pass
    assert logs == []
    server.process.kill()


async def test_a_store_without_an_append_only_file_is_broken_and_opened_loudly(server: RedisServer) -> None:
    (what,) = (await found(server))[Status.FAIL]
    assert "appendonly no" in what
    assert not (await found(server, "coordinator"))[Status.FAIL]
    with capture_logs() as logs:
        async with store(server.url()):
            pass
    assert [line["log_level"] for line in logs] == ["warning"]
    assert "appendonly no" in logs[0]["event"]


async def test_an_append_only_file_that_is_written_later_is_a_risk(server: RedisServer) -> None:
    configure(server, appendonly="yes", appendfsync="everysec")
    (what,) = (await found(server))[Status.WARN]
    assert "everysec" in what


@pytest.mark.parametrize(
    ("policy", "maxmemory", "for_store", "for_coordinator"),
    [
        ("noeviction", "100mb", Status.OK, Status.OK),
        ("allkeys-lru", "100mb", Status.FAIL, Status.WARN),
        ("allkeys-lru", "0", Status.WARN, Status.WARN),
        ("volatile-ttl", "100mb", Status.OK, Status.WARN),
    ],
)
async def test_eviction_throws_away_what_is_true_or_only_leases(
    server: RedisServer, policy: str, maxmemory: str, for_store: Status, for_coordinator: Status
) -> None:
    configure(server, maxmemory_policy=policy, maxmemory=maxmemory)
    for plane, status in (("store", for_store), ("coordinator", for_coordinator)):
        assert any(policy in what for what in (await found(server, plane))[status])


async def test_a_store_refuses_a_server_that_would_throw_away_what_is_true(server: RedisServer) -> None:
    configure(server, maxmemory_policy="allkeys-lru", maxmemory="100mb")
    assert "set maxmemory-policy noeviction" in await refused(server)
    assert server.call("DBSIZE") == 0


async def test_a_store_refuses_the_data_of_another_version(server: RedisServer) -> None:
    async with store(server.url()):
        pass
    server.call("HSET", "{jobkit}:store", "version", "2")
    assert "layout 2" in await refused(server)


@pytest.mark.parametrize("command", ["hset", "zadd", "xadd", "rpush", "hincrby", "zrem", "ltrim"])
async def test_a_store_refuses_a_user_who_might_write_half_of_a_commit(server: RedisServer, command: str) -> None:
    server.call("ACL", "SETUSER", "weak", "on", ">hunter2", "~{jobkit}:*", "&*", "+@all", f"-{command}")
    message = await refused(server, login="weak:hunter2")
    assert "lacks a permission" in message
    assert "hunter2" not in message


async def test_a_user_who_may_not_ask_is_told_that_nothing_was_checked_and_can_work(server: RedisServer) -> None:
    server.call(
        "ACL", "SETUSER", "enough", "on", ">pw", "~{jobkit}:*", "&{jobkit}:*", "+@all", "-@dangerous", "-@admin"
    )
    (what,) = (await found(server, login="enough:pw"))[Status.WARN]
    assert "not checked" in what
    async with store(server.url(login="enough:pw")) as on:
        await committed(on, await submitted(on, "a"))


async def test_a_replica_is_broken_and_a_store_on_it_unavailable(server: RedisServer) -> None:
    configure(server, appendonly="yes", appendfsync="always")
    await asyncio.to_thread(server.call, "REPLICAOF", "127.0.0.1", str(free_port()))
    assert (await found(server))[Status.FAIL] == ["it is a replica, which takes no writes"]
    with pytest.raises(Unavailable, match="accepts no writes"):
        async with store(server.url()):
            pass


async def test_a_node_of_a_cluster_is_refused() -> None:
    server = start_server({"cluster-enabled": "yes", "cluster-port": str(free_port()), **DURABLE})
    assert "it is a node of a cluster" in (await found(server))[Status.FAIL]
    assert "not clustered" in await refused(server)
    server.process.kill()


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        await diagnose(f"redis://127.0.0.1:{free_port()}", "store")


async def test_urls_lead_to_planes(server: RedisServer, tmp_path: object) -> None:
    urls = {"coordinator_url": server.url(), "store_url": server.url(database=1), "broker_url": "memory:"}
    async with open_planes(Settings.model_validate({**urls, "blobs_url": f"file:{tmp_path}/blobs"})) as planes:
        assert isinstance(await planes.coordinator.claim("t/k", owner="me", nonce="n", ttl=5.0), Granted)
        await committed(planes.store, await submitted(planes.store, "a"))  # type: ignore[arg-type]
        assert await planes.inspection.job("a")


@pytest.mark.parametrize("variable", ["store_url", "coordinator_url"])
async def test_a_wrong_password_names_the_variable_and_not_the_password(
    server: RedisServer, tmp_path: object, variable: str
) -> None:
    server.call("CONFIG", "SET", "requirepass", "right")
    try:
        settings = {"broker_url": "memory:", "store_url": "memory:", "coordinator_url": "memory:"}
        settings[variable] = server.url(login=":hunter2")
        with pytest.raises(ConfigurationError, match=f"JOBKIT_{variable.upper()}") as caught:
            async with open_planes(Settings.model_validate({**settings, "blobs_url": f"file:{tmp_path}/blobs"})):
                pass
        assert "hunter2" not in str(caught.value)
    finally:
        server.process.kill()


async def test_doctor_tells_of_each_server_what_is_fine_and_what_to_change(server: RedisServer) -> None:
    configure(server, maxmemory_policy="allkeys-lru", maxmemory="100mb")
    urls = {"coordinator_url": server.url(), "store_url": server.url(), "broker_url": "memory:"}
    findings = await looked_at(urls)
    assert [(finding.status, finding.what.partition(":")[0], bool(finding.change)) for finding in findings] == [
        (Status.OK, "coordinator, store", False),
        (Status.WARN, "coordinator, store", True),
        (Status.FAIL, "coordinator, store", True),
        (Status.FAIL, "coordinator, store", True),
    ]
    server.process.kill()
    findings = await looked_at({**urls, "store_url": "memory:"})
    assert [finding.status for finding in findings] == [Status.UNREACHABLE]
    assert await looked_at(dict.fromkeys(urls, "memory:")) == []


async def looked_at(urls: dict[str, str]) -> list[Finding]:
    places = await diagnose_places(Settings.model_validate(urls), SystemClock())
    return [finding for place in places for finding in place.summary() if finding.part == "redis"]
