"""Two versions of a plugin in two worker processes on one store: each job is done by one that knows it, in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobkit import Payload
from jobkit.client import Client
from jobkit.lab.servers.rabbitmq import shared_server
from jobkit.ops.verify import verify
from jobkit.plugin.registry import Registry
from jobkit.settings import Settings
from tests.acceptance import bill_new, bill_old
from tests.acceptance.site import Site, open_site, until

_KEYS = ("ann", "bob", "cem", "dee")


@pytest.fixture(params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.servers("rabbitmq"))])
def broker(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """What the site is told of its broker."""
    if request.param == "embedded":
        yield {}
        return
    server = shared_server()
    with server.vhost() as vhost:
        yield {"BROKER_URL": server.url(vhost)}


async def test_old_and_new_workers_do_every_job_in_its_turn(tmp_path: Path, broker: dict[str, str]) -> None:
    async with open_site(tmp_path, **broker) as site:
        old = site.start("test.bill", JOBKIT_PLUGINS="tests.acceptance.bill_old")
        older, newer = (Client(site.planes, Registry([one.bill]), Settings()) for one in (bill_old, bill_new))
        for key in _KEYS:
            await _submit(older, bill_old.Bill(to=key, cents=100))
            await _submit(newer, bill_new.Bill(to=key, amount="2.00", currency="USD"))
            await _submit(older, bill_old.Bill(to=key, cents=300))

        async def held() -> bool:
            return sum(entry.get("event") == "job held for a worker that knows it" for entry in old.events()) >= len(
                _KEYS
            )

        await until(held, within=60, what="the old worker holds what it does not know")
        new = site.start("test.bill", JOBKIT_PLUGINS="tests.acceptance.bill_new")
        await until(lambda: _all_billed(site), within=60, what="all bills are written")
        assert (old.process.poll(), new.process.poll()) == (None, None)
        for key in _KEYS:
            first, second, third = await _log(site, key)
            assert (first, second) == ({"by": 1, "amount": "1.00"}, {"by": 2, "amount": "2.00", "currency": "USD"})
            # Either knows it.
            assert third["amount"] == "3.00"
            assert third.get("currency", "EUR") == "EUR"
        assert await site.planes.inspection.dead() == []
        assert (await verify(site.planes)).findings == []


async def _submit(client: Client, job: Payload) -> None:
    await client.submit("test.bill", job)


async def _log(site: Site, key: str) -> list[dict[str, object]]:
    return [json.loads(entry.data) for entry in await site.planes.inspection.log("test.bill", key)]


async def _all_billed(site: Site) -> bool:
    return all([len(await _log(site, key)) == 3 for key in _KEYS])
