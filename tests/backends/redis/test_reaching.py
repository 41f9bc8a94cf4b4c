"""The way to the server: logins, TLS, sentinels, and what is said where it leads nowhere."""

from __future__ import annotations

import asyncio
import gc
import random
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import redis

from jobkit.backends.redis.diagnosis import diagnose
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.lab.servers.base import free_port, require
from jobkit.lab.servers.proxy import Proxy
from jobkit.lab.servers.redis import RedisServer, start_server
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.model.plane import Plane
from jobkit.ports.coordinator import Coordinator, Granted, LeaseRef
from jobkit.ports.diagnosis import Finding, Status
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Gap
from jobkit.testing.conformance.values import committed, submitted
from tests.backends.redis.opened import coordinator, eventually, script, scripts, store
from tests.backends.redis.working import Astray, Key, check, effects_of, work

T = TypeVar("T")

ECHO = script("return a[1]")
SUM = script("return call('INCR', PREFIX .. 'sum')")
PASSWORD = "hunter2@/:#"
ESCAPED = "hunter2%40%2F%3A%23"


async def problem(url: str) -> str:
    async with scripts(url) as asked:
        with pytest.raises(ConfigurationError) as caught:
            await asked.run(SUM)
    assert "hunter2" not in str(caught.value)
    return str(caught.value)


# ---- logins --------------------------------------------------------------------------------------------------------


@pytest.fixture
def locked() -> Iterator[RedisServer]:
    started = start_server({"requirepass": PASSWORD})
    yield started
    started.process.kill()


async def test_a_password_with_special_characters_opens_the_server(locked: RedisServer) -> None:
    async with scripts(locked.url(login=f":{ESCAPED}", database=3)) as asked:
        assert await asked.run(ECHO, "x") == b"x"


@pytest.mark.parametrize("login", [":hunter2-wrong", "nobody:hunter2", ""])
async def test_a_wrong_or_missing_password_is_a_mistake_of_the_settings(locked: RedisServer, login: str) -> None:
    url = locked.url(login=login) if login else f"redis://127.0.0.1:{locked.port}"
    assert "refuses this user or password" in await problem(url)


async def test_a_password_where_there_is_none_is_a_mistake_of_the_settings(server: RedisServer) -> None:
    assert "refuses this user or password" in await problem(server.url(login=":hunter2"))


async def test_a_database_that_is_not_there_is_a_mistake_of_the_settings(server: RedisServer) -> None:
    assert "there is no such database" in await problem(server.url(database=99))


async def test_a_user_without_permission_is_told_of_it(server: RedisServer) -> None:
    server.call("ACL", "SETUSER", "weak", "on", ">hunter2", "~{jobkit}:*", "+@all", "-incr")
    assert "lacks a permission" in await problem(server.url(login="weak:hunter2"))
    server.call("ACL", "SETUSER", "lost", "on", ">hunter2", "~elsewhere:*", "+@all")
    assert "lacks a permission" in await problem(server.url(login="lost:hunter2"))


async def test_a_user_of_our_keys_alone_can_do_all_that_a_coordinator_does(server: RedisServer) -> None:
    server.call("ACL", "SETUSER", "enough", "on", ">hunter2", "~{jobkit}:*", "&{jobkit}:*", "+@all", "-@admin")
    async with coordinator(server.url(login="enough:hunter2")) as on:
        answer = await on.claim("t/k", owner="me", nonce="n", ttl=10.0)
        assert isinstance(answer, Granted)
        assert await on.release(LeaseRef("t/k", answer.token, "n"))


# ---- TLS -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Encrypted:
    server: RedisServer
    port: int
    ca: Path

    def url(self, query: str) -> str:
        return f"rediss://:{ESCAPED}@127.0.0.1:{self.port}/0{query}"


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    (openssl,) = require("openssl")
    directory = tmp_path_factory.mktemp("tls")
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    make = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=jobkit-tests"
    files = ["-keyout", str(key), "-out", str(certificate), "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([openssl, *make.split(), *files], check=True, capture_output=True)
    port = free_port()
    settings = {"tls-cert-file": str(certificate), "tls-key-file": str(key), "tls-ca-cert-file": str(certificate)}
    server = start_server(
        {"port": "0", "tls-port": str(port), "tls-auth-clients": "no", "requirepass": PASSWORD, **settings}
    )
    yield Encrypted(server, port, certificate)
    server.process.kill()


async def test_tls_with_a_known_issuer(encrypted: Encrypted) -> None:
    async with coordinator(encrypted.url(f"?ssl_ca_certs={encrypted.ca}")) as on:
        assert isinstance(await on.claim("t/k", owner="me", nonce="n", ttl=0.2), Granted)
        await on.wait_change("t/k", 10.0)


async def test_tls_with_an_unknown_issuer_is_a_mistake_of_the_settings(encrypted: Encrypted) -> None:
    assert "its certificate is not trusted; name its issuer with ssl_ca_certs" in await problem(encrypted.url(""))


async def test_tls_without_verification_where_the_url_says_so(encrypted: Encrypted) -> None:
    async with scripts(encrypted.url("?ssl_cert_reqs=none")) as asked:
        assert await asked.run(ECHO, "x") == b"x"


@pytest.mark.parametrize("plain_client", [True, False])
async def test_one_side_without_tls_is_unavailable_and_nobody_hangs(
    encrypted: Encrypted, server: RedisServer, plain_client: bool
) -> None:
    url = f"redis://127.0.0.1:{encrypted.port}" if plain_client else f"rediss://127.0.0.1:{server.port}"
    async with scripts(url) as asked:
        with pytest.raises(Unavailable):
            await asked.run(ECHO, "x")


def test_a_connection_ends_though_the_server_says_no_goodbye(encrypted: Encrypted) -> None:
    async def ask_and_leave() -> None:
        async with scripts(encrypted.url("?ssl_cert_reqs=none")) as asked:
            assert await asked.run(ECHO, "x") == b"x"
            encrypted.server.process.pause()

    asyncio.run(ask_and_leave())
    encrypted.server.process.resume()
    # What was left open makes itself heard here.
    gc.collect()


# ---- sentinels -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Watched:
    primary: RedisServer
    replica: RedisServer
    sentinel: RedisServer

    def url(self) -> str:
        # The first of the sentinels is not there.
        return f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{self.sentinel.port}/main/0"

    def empty_replica(self) -> None:
        self.replica.call("FLUSHALL")

    def fail_over(self) -> bool:
        """Order a failover; tell whether the sentinel knows enough to begin one."""
        with suppress(redis.ResponseError):
            self.sentinel.call("SENTINEL", "FAILOVER", "main")
            return True
        return False

    def in_step(self) -> bool:
        return bool(self.replica.call("INFO", "replication").get("master_link_status") == "up")


@pytest.fixture
def watched() -> Iterator[Watched]:
    primary = start_server({"repl-diskless-sync-delay": "0"})
    replica = start_server({"replicaof": f"127.0.0.1 {primary.port}", "replica-read-only": "no"})
    sentinel = start_server(
        sentinel=[
            f"sentinel monitor main 127.0.0.1 {primary.port} 1",
            "sentinel down-after-milliseconds main 500",
            "sentinel failover-timeout main 3000",
        ]
    )
    yield Watched(primary, replica, sentinel)
    for server in (sentinel, replica, primary):
        server.process.kill()


async def known_to_sentinel(watched: Watched) -> None:
    """Return once the sentinel could make the replica the primary."""
    await eventually(watched.in_step)
    await eventually(lambda: watched.sentinel.call("SENTINEL", "REPLICAS", "main"))


async def claimed(on: Coordinator, nonce: str, floor: int) -> int:
    """Claim until it is granted; return the token. A primary of before may be asked, and says that it is held."""
    while True:
        with suppress(Unavailable):
            answer = await on.claim("t/k", owner="me", nonce=nonce, ttl=30.0, floor=floor)
            if isinstance(answer, Granted):
                return answer.token
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("how", ["crash", "order"])
async def test_a_failover_to_an_empty_replica_is_followed_and_tokens_rise_above_the_floor(
    watched: Watched, how: str
) -> None:
    async with coordinator(watched.url()) as on:
        first = await claimed(on, "n1", 1000)
        await known_to_sentinel(watched)
        watched.empty_replica()
        if how == "crash":
            watched.primary.process.kill()
        else:
            await eventually(watched.fail_over)
        await eventually(lambda: watched.replica.call("ROLE")[0] == b"master")
        second = await claimed(on, "n2", first)
        assert second > first
        assert watched.replica.call("EXISTS", "{jobkit}:lease:t/k") == 1


async def test_a_service_that_no_sentinel_knows_is_unavailable(watched: Watched) -> None:
    async with scripts(watched.url().replace("/main/", "/other/")) as asked:
        with pytest.raises(Unavailable, match="it watches no other"):
            await asked.run(ECHO, "x")


async def test_sentinels_that_do_not_answer_are_given_up_within_the_bound(watched: Watched) -> None:
    async with Proxy(watched.sentinel.port) as proxy:
        proxy.hold()
        async with scripts(f"redis+sentinel://127.0.0.1:{proxy.port},127.0.0.1:{proxy.port}/main") as asked:
            async with asyncio.timeout(8.0):
                with pytest.raises(Unavailable, match="no answer in time"):
                    await asked.run(ECHO, "x")


async def test_a_sentinel_that_is_silent_keeps_nobody_from_the_others(watched: Watched) -> None:
    async with Proxy(watched.sentinel.port) as silent:
        silent.hold()
        async with scripts(f"redis+sentinel://127.0.0.1:{silent.port},127.0.0.1:{watched.sentinel.port}/main") as asked:
            assert await asked.run(SUM) == 1


async def test_the_sentinel_that_answered_is_asked_first_from_then_on(watched: Watched) -> None:
    async with Proxy(watched.sentinel.port) as away, Proxy(watched.sentinel.port) as there:
        away.refuse()
        async with scripts(f"redis+sentinel://127.0.0.1:{away.port},127.0.0.1:{there.port}/main") as asked:
            assert await asked.run(SUM) == 1
            away.heal()
            for connection in range(3):
                before = there.accepted
                watched.primary.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                while True:
                    with suppress(Unavailable):
                        assert await asked.run(SUM) > connection
                        break
                assert there.accepted > before


async def test_a_primary_that_would_take_writes_without_its_replicas_is_told(watched: Watched) -> None:
    """Cut off from its sentinels for 25 s, one accepted 328 jobs that nobody saw again."""

    async def told() -> Finding:
        found = await diagnose(watched.url(), Plane.STORE)
        return next(finding for finding in found if "min-replicas-to-write" in finding.what)

    assert (await told()).status is Status.WARN
    watched.primary.call("CONFIG", "SET", "min-replicas-to-write", "1")
    assert (await told()).status is Status.OK
    # Of a server without sentinels nothing of the kind is asked.
    alone = await diagnose(watched.primary.url(), Plane.STORE)
    assert not any("min-replicas" in finding.what for finding in alone)


@pytest.mark.parametrize("how", ["crash", "order"])
async def test_a_failover_in_the_midst_of_commits_leaves_each_job_whole_and_work_goes_on(
    watched: Watched, how: str
) -> None:
    """What the replica had not received may be gone, as docs/redis.md says; half a commit there never is."""
    rng = random.Random(3)
    keys = [Key(f"key {number}") for number in range(8)]
    async with store(watched.url()) as on:
        await known_to_sentinel(watched)
        over = asyncio.Event()
        workers = [asyncio.create_task(work(on, key, rng, over)) for key in keys]
        # The replica may lag behind by any number of commits, but not by all.
        rows = [f"{{jobkit}}:key:t\0{key.name}" for key in keys]
        await eventually(lambda: all(int(watched.replica.call("HGET", row, "committed") or 0) > 5 for row in rows))
        if how == "crash":
            await asyncio.to_thread(watched.primary.process.kill)
        else:
            await eventually(watched.fail_over)
            # Until then it takes writes, which are lost with all that it alone has.
            await eventually(lambda: watched.primary.call("ROLE")[0] == b"slave")
        await eventually(lambda: watched.replica.call("ROLE")[0] == b"master")
        # One that asked nothing just then has noticed nothing, and would go on for ever.
        over.set()
        for outcome in await asyncio.gather(*workers, return_exceptions=True):
            assert outcome is None or isinstance(outcome, Unavailable | Astray), outcome
        for key in keys:
            await again(partial(check, on, key, lossless=False))
            token = key.token
            job = await again(partial(submitted, on, f"{key.name}/last", key=key.name))
            for record in reversed(await on.jobs(type="t", key=key.name, limit=100)):
                if not record.state.ended:
                    waiting = Envelope(record.id, "t", b"{}", record.key, record.sequence)
                    if isinstance(await on.open(waiting, Fence(token := token + 1, "n", "me")), Gap):
                        # What was lost before it is for an operator to give up.
                        await on.skip_gap("t", key.name, before=record.sequence or 0)
                    await committed(on, waiting, effects_of(waiting), Fence(token := token + 1, "n", "me"))
            last = await on.job(job.id)
            assert last
            assert last.state is JobState.COMMITTED
            await check(on, key, lossless=False)
    assert watched.replica.call("EXISTS", "{jobkit}:job:key 0/last") == 1


async def again(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer: sentinels may name the primary of before for a while."""
    while True:
        with suppress(Unavailable):
            return await ask()
        await asyncio.sleep(0.05)
