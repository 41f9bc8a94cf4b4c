"""The drill's own client is not stopped by trouble that passes, and submits nothing twice for it."""

from __future__ import annotations

import random
from typing import Any

import pytest

from jobkit.client import Client
from jobkit.errors import Unavailable
from jobkit.lab.drill.environment import DrillFailed
from jobkit.lab.drill.traffic import Traffic
from jobkit.model.plane import Plane
from jobkit.testing.virtual_time import VirtualClock, run_virtual


class Refusing(Client):
    """Does not answer so many submits, and ends the traffic with the first that it takes; keeps all ids."""

    def __init__(self, traffic: Traffic, refusals: int) -> None:
        self.traffic, self.refusals, self.ids = traffic, refusals, list[str]()

    async def submit(self, type: str, payload: Any, **options: Any) -> Any:
        self.ids.append(options["id"])
        if len(self.ids) <= self.refusals:
            raise Unavailable(Plane.STORE, "locked")
        self.traffic.stopping = True


def test_what_was_not_answered_is_submitted_again_under_its_id() -> None:
    traffic = Traffic(20.0, random.Random(1))
    client = Refusing(traffic, 3)
    run_virtual(traffic.run(client, VirtualClock()))
    assert len(set(client.ids[:4])) == 1
    assert len(set(client.ids)) == traffic.events > 1
    assert traffic.unanswered == 3


def test_a_store_that_stays_away_is_told_as_what_it_is() -> None:
    traffic = Traffic(20.0, random.Random(1))
    with pytest.raises(DrillFailed, match=r"cannot submit: .*locked"):
        run_virtual(traffic.run(Refusing(traffic, 10_000), VirtualClock()))
