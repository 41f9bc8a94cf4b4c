"""What `jobkit doctor` is told of a server, for every way in which one can be of no use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import aio_pika
import pytest

from jobkit.backends.rabbitmq.diagnosis import diagnose
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.lab.servers.base import free_port
from jobkit.model.clock import SystemClock
from jobkit.ports.diagnosis import Finding, Status
from tests.backends.rabbitmq.conftest import Site
from tests.backends.rabbitmq.traffic import FIRST, envelope, publish, ready, until


async def bad(
    url: str, *, delivery_hold: float = 600.0, lease_ttl: float = 15.0, max_payload: int = 1_000
) -> list[Finding]:
    findings = await diagnose(
        url, SystemClock(), delivery_hold=delivery_hold, lease_ttl=lease_ttl, max_payload=max_payload
    )
    return [finding for finding in findings if finding.status is not Status.OK]


@contextmanager
def user(site: Site, configure: str, write: str, read: str) -> Iterator[str]:
    """Have a user with these permissions; yield the URL with which it comes."""
    quoted = ", ".join(f'<<"{one}">>' for one in (configure, write, read))
    site.server.call('rabbit_auth_backend_internal:add_user(<<"some">>, <<"some">>, <<"tests">>)')
    try:
        site.server.call(
            f'rabbit_auth_backend_internal:set_permissions(<<"some">>, <<"{site.vhost}">>, {quoted}, <<"tests">>)'
        )
        yield site.url().replace("guest:guest", "some:some")
    finally:
        site.server.call('rabbit_auth_backend_internal:delete_user(<<"some">>, <<"tests">>)')


async def test_a_server_that_is_well_is_described_and_nothing_is_wrong_with_it(site: Site) -> None:
    async with site.broker() as broker:
        await broker.declare("t", 2)
        findings = await diagnose(site.url(), SystemClock(), delivery_hold=600.0, lease_ttl=15.0, max_payload=1_000)
        assert {finding.status for finding in findings} == {Status.OK}
        told = "; ".join(finding.what for finding in findings)
        for claim in ("RabbitMQ ", "heartbeat 5 s", "JOBKIT_DELIVERY_HOLD=600", "takes messages", "t: 5 queues"):
            assert claim in told


async def test_looking_leaves_nothing_behind(site: Site) -> None:
    count = f'length(rabbit_amqqueue:list(<<"{site.vhost}">>))'
    # The directory of types is made by the first to read it.
    assert await bad(site.url()) == []
    before = site.server.call(count)
    assert await bad(site.url()) == []

    async def gone() -> bool:
        return site.server.call(count) == before

    await until(gone)


async def test_a_server_that_is_not_there_and_one_that_refuses_us_are_errors(site: Site) -> None:
    with pytest.raises(Unavailable):
        await bad(f"amqp://guest:guest@127.0.0.1:{free_port()}/")
    with pytest.raises(ConfigurationError, match="refuses the login"):
        await bad(site.url().replace("guest:guest", "guest:wrong"))
    with pytest.raises(Unavailable, match="virtual host"):
        await bad(site.server.url("nosuch"))


@pytest.mark.parametrize(
    ("permissions", "missing"),
    [(("", ".*", ".*"), "configure"), ((".*", "", ".*"), "write"), ((".*", ".*", ""), "read")],
)
async def test_each_permission_that_is_missing_is_named(
    site: Site, permissions: tuple[str, str, str], missing: str
) -> None:
    with user(site, *permissions) as url:
        (finding,) = await bad(url)
    assert finding.status is Status.FAIL
    assert f"no permission to {missing} " in finding.what


async def test_a_server_short_of_memory_is_broken(site: Site) -> None:
    with site.server.short_of_memory():
        (finding,) = await bad(site.url())
    assert finding.status is Status.FAIL
    assert "short of memory" in finding.what


@pytest.mark.parametrize(
    ("query", "settings", "problem"),
    [
        ("", {"delivery_hold": 1700.0}, "JOBKIT_DELIVERY_HOLD=1700"),
        ("?heartbeat=10", {"lease_ttl": 15.0}, "heartbeat 10 s"),
    ],
)
async def test_settings_that_do_not_fit_a_server_are_a_risk(
    site: Site, query: str, settings: dict[str, float], problem: str
) -> None:
    (finding,) = await bad(site.url() + query, **settings)
    assert finding.status is Status.WARN
    assert finding.what.startswith(problem)


async def test_a_server_that_does_not_take_the_largest_payload_is_broken_and_the_setting_is_named(site: Site) -> None:
    with site.server.set("max_message_size", "500"):
        (finding,) = await bad(site.url(), max_payload=501)
        assert finding.status is Status.FAIL
        assert "JOBKIT_MAX_PAYLOAD_BYTES=501" in finding.what
        assert await bad(site.url(), max_payload=500) == []


async def test_queues_that_are_gone_or_different_are_broken(site: Site) -> None:
    async with site.broker() as broker, await aio_pika.connect(site.url()) as connection:
        await broker.declare("t", 2)
        channel = await connection.channel()
        await channel.queue_delete("jobkit.t.1")
        (finding,) = await bad(site.url())
        assert (finding.status, finding.what.partition(" ")[0]) == (Status.FAIL, "jobkit.t.1")
        await channel.declare_queue("jobkit.t.1", durable=True)
        (finding,) = await bad(site.url())
        assert finding.status is Status.FAIL
        assert "jobkit.t.1 is not as jobkit makes it" in finding.what


async def test_what_the_server_dropped_is_a_risk_and_says_where_it_is(site: Site) -> None:
    async with site.broker() as broker:
        await broker.declare("t", 2)
        with site.server.policy(site.vhost, r"^jobkit\\.t\\.0$", "message-ttl", 1):
            await broker.publish([(FIRST, envelope("a"))])

            async def dropped() -> bool:
                return await ready(broker) == 0

            await until(dropped)

        async def told() -> bool:
            found = await bad(site.url())
            return [one.status for one in found] == [Status.WARN] and "jobkit.t:dead" in found[0].what

        await until(told)
        await publish(broker, "b")
