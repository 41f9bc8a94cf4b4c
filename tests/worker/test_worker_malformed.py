"""A whole worker in virtual time: messages that are no jobs."""

from __future__ import annotations

import pytest
from pydantic import field_validator

from jobkit import Context, Payload, processor
from jobkit.model.partition import Partition, partition_of
from tests.faults.doubles import hanging
from tests.steps import loose, step
from tests.virtual_site import Site, in_virtual_time, open_site


class Picky(Payload):
    """A payload whose own validator has a bug."""

    on: str

    @field_validator("on")
    @classmethod
    def _look_up(cls, value: str) -> str:
        return {"good": "good"}[value]


async def _publish_raw(site: Site, body: bytes, *, type: str = "step", key: str = "k") -> None:
    await site.planes.broker.declare(type, site.settings.partitions)
    partition = Partition(type, partition_of(key, site.settings.partitions))
    await site.planes.broker.publish_raw([(partition, body)])  # type: ignore[attr-defined]


GOOD = b'{"id":"good","type":"step"}\n{}'

BAD = {
    "no envelope": (b"hello", "malformed message"),
    "nothing": (b"", "malformed message"),
    "a list": (b"[1]\n{}", "malformed message"),
    "not UTF-8": (b'{"id":"\xff","type":"step"}\n{}', "malformed message"),
    "no id": (b'{"type":"step"}\n{}', "malformed message"),
    "a number for an id": (b'{"id":17,"type":"step"}\n{}', "malformed message"),
    "an empty id": (b'{"id":"","type":"step"}\n{}', "malformed message"),
    "no type": (b'{"id":"x"}\n{}', "malformed message"),
    "a list for a type": (b'{"id":"x","type":["step"]}\n{}', "malformed message"),
    "a lone surrogate": (b'{"id":"\\ud800","type":"step"}\n{}', "malformed message"),
    "a NUL": (b'{"id":"x","type":"step","key":"\\u0000"}\n{}', "malformed message"),
    "a text for a sequence": (b'{"id":"x","type":"step","sequence":"1"}\n{}', "malformed message"),
    "sequence 0": (b'{"id":"x","type":"step","sequence":0}\n{}', "malformed message"),
    "a huge sequence": (b'{"id":"x","type":"step","sequence":9223372036854775808}\n{}', "malformed message"),
    "no time": (b'{"id":"x","type":"step","submitted_at":NaN}\n{}', "malformed message"),
    "a list for a trace": (b'{"id":"x","type":"step","trace":[1]}\n{}', "malformed message"),
    "a misspelt field": (b'{"id":"x","type":"step","sequnce":1}\n{}', "unknown field"),
    "a text for a schema": (b'{"id":"x","type":"step","schema":"1"}\n{}', "malformed message"),
    "a later schema": (b'{"id":"x","type":"step","schema":2,"new":1}\n{}', "unknown schema"),
    "an unknown type": (b'{"id":"x","type":"stpe"}\n{}', "unknown type"),
    "a payload that is not JSON": (b'{"id":"x","type":"step"}\n{', "invalid payload"),
    "a payload with a wrong field": (b'{"id":"x","type":"step"}\n{"number":"one"}', "invalid payload"),
    "a payload with an unknown field": (b'{"id":"x","type":"step"}\n{"nmber":1}', "unknown payload"),
    "an empty key": (b'{"id":"x","type":"step","key":""}\n{}', "invalid payload"),
    "an oversized payload": (b'{"id":"x","type":"step"}\n{"on":"' + b"x" * 300_000 + b'"}', "oversized payload"),
}


@in_virtual_time
async def test_one_malformed_message_that_the_store_cannot_take_holds_up_no_other() -> None:
    async with open_site(step) as site:
        site.faults.once("store.bury_message", hanging)
        for body in (b"first", b"second", GOOD):
            await _publish_raw(site, body)
        site.start()
        await site.until(lambda: site.witness.count("jobkit.jobs", {"outcome": "dead"}) == 1)
        await site.until(lambda: site.witness.count("jobkit.jobs", {"outcome": "committed"}) == 1)
        (letter,) = await site.planes.inspection.dead()
        assert letter.raw == b"second"


@pytest.mark.parametrize(("body", "reason"), BAD.values(), ids=BAD.keys())
@in_virtual_time
async def test_what_is_no_job_is_a_dead_letter_with_a_reason(body: bytes, reason: str) -> None:
    """nothing-lost: and it is in nobody's way."""
    async with open_site(step, unknown_hold=30) as site:
        await _publish_raw(site, body)
        await _publish_raw(site, GOOD)
        site.start()
        await site.at_rest()
        (letter,) = await site.planes.inspection.dead()
        assert letter.reason == reason
        assert letter.detail
        assert body.endswith(letter.raw)
        assert await site.log("step", "k") == ['{"number":1}']
        assert site.witness.lines("dead-lettered")[0]["reason"] == reason
        assert site.witness.count("jobkit.jobs", {"outcome": "dead"}) == 1


@in_virtual_time
async def test_a_validator_that_raises_anything_makes_a_dead_letter_too() -> None:
    """nothing-lost: one message must not end the consumer of its partition again and again."""

    @processor("picky", key=lambda job: job.on)
    async def picky(job: Picky, ctx: Context) -> str:
        return job.on

    async with open_site(picky, partitions=1) as site:
        await _publish_raw(site, b'{"id":"bad","type":"picky"}\n{"on":"bad"}', type="picky")
        await _publish_raw(site, b'{"id":"good","type":"picky"}\n{"on":"good"}', type="picky")
        site.start()
        await site.at_rest(10)
        assert (await site.client.status("good")).state == "committed"
        (letter,) = await site.planes.inspection.dead()
        assert (letter.reason, letter.detail) == (
            "invalid payload",
            "payload of type 'picky' is not valid: KeyError('bad')",
        )


@in_virtual_time
async def test_the_same_id_with_another_body_is_a_dead_letter_and_an_alert() -> None:
    """single-effect: and the job that has the id goes on."""
    async with open_site(loose) as site:
        await _publish_raw(site, b'{"id":"x","type":"loose"}\n{"number":1}', type="loose")
        await _publish_raw(site, b'{"id":"x","type":"loose"}\n{"number":2}', type="loose")
        site.start()
        await site.at_rest()
        assert await site.log("loose", "k") == ['{"number":1}']
        assert await site.reasons() == ["conflicting id"]
        assert (await site.client.status("x")).state == "committed"
        assert site.witness.count("jobkit.conflicts") == 1
        assert site.witness.lines("job id conflict, dead-lettered")[0]["log_level"] == "error"
