"""Types of one group: what is refused where they are declared, and how their jobs are told apart."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from jobkit import Context, Payload, Processor, processor
from jobkit.errors import ConfigurationError, PayloadInvalid, UnknownType
from jobkit.model.envelope import Envelope
from jobkit.plugin.registry import Registry
from jobkit.projections.projection import Projection
from jobkit.runner.decode import Job, Malformed, NotJob, Unknown, decode
from jobkit.testing import run_job


class Amount(Payload):
    of: str
    cents: int


class Sum(BaseModel):
    cents: int = 0


def made(name: str, group: Any = "account", **arguments: Any) -> Processor[Amount, int]:
    @processor(name, key=lambda job: job.of, group=group, **arguments)
    async def made(job: Amount, ctx: Context) -> int:
        ctx.append(name, {"cents": job.cents})
        return job.cents

    return made


DEPOSIT, WITHDRAW, NOTICE = made("deposit"), made("withdraw"), made("notice", None)


def decoded(body: bytes, type: str = "account") -> Job | NotJob:
    return decode(body, Envelope("1", type, body), "", Registry([DEPOSIT, WITHDRAW, NOTICE]), max_bytes=1000)


# ---- declaring -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["", "Account", "a b", "leader", 7, "x" * 64])
def test_a_group_is_named_like_a_type(group: object) -> None:
    with pytest.raises(ConfigurationError, match="group"):
        made("deposit", group)


@pytest.mark.parametrize("others", [{"ordered": True}, {"projections": [Projection("sum", Sum)]}])
def test_types_of_a_group_that_do_not_fit_together_are_refused(others: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="group 'account': 'deposit' and 'withdraw'"):
        Registry([DEPOSIT, made("withdraw", **others)])


def test_a_group_cannot_have_the_name_of_a_type_outside_of_it() -> None:
    with pytest.raises(ConfigurationError, match=r"group 'account' \(deposit\) has the name of a job type outside"):
        Registry([DEPOSIT, made("account", None)])
    assert Registry([DEPOSIT, made("account")]).kept() == ["account"]


# ---- names ---------------------------------------------------------------------------------------------------------


def test_a_group_is_served_and_looked_at_by_its_name() -> None:
    registry = Registry([DEPOSIT, WITHDRAW, NOTICE])
    assert registry.kept() == ["account", "notice"]
    assert registry.kept_as("account") == "account"
    with pytest.raises(UnknownType, match=r"'deposit' is in group 'account'.*name 'account'"):
        registry.kept_as("deposit")
    with pytest.raises(UnknownType, match="no processor for job type 'acount'"):
        registry.kept_as("acount")


def test_a_job_is_submitted_by_its_type() -> None:
    registry = Registry([DEPOSIT, WITHDRAW])
    envelope = registry.new_job("deposit", Amount(of="ann", cents=5)).envelope
    assert (envelope.type, envelope.key, envelope.body) == ("account", "ann", b'{"deposit":{"of":"ann","cents":5}}')
    with pytest.raises(UnknownType, match=r"'account' is a group of job types: name one of them \(deposit, withdraw\)"):
        registry.new_job("account", Amount(of="ann", cents=5))


def test_the_same_payload_of_two_types_is_not_the_same_job() -> None:
    registry, payload = Registry([DEPOSIT, WITHDRAW]), Amount(of="ann", cents=5)
    one, other = (registry.new_job(type, payload, id="1").envelope.digest() for type in ("deposit", "withdraw"))
    assert one != other


# ---- decoding ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [b'{"withdraw":{"of":"ann","cents":5}}', b' { "withdraw" : {"cents": 5, "of": "ann"} }\n']
)
def test_the_body_says_which_processor_a_job_is_for(body: bytes) -> None:
    job = decoded(body)
    assert isinstance(job, Job)
    assert (job.processor, job.payload, job.key, job.resource) == (
        WITHDRAW,
        Amount(of="ann", cents=5),
        "ann",
        "account/ann",
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"of":"ann","cents":5}', "unknown type"),
        (b"[]", "unknown type"),
        (b"", "unknown type"),
        (b'{"deposit":{"of":"ann","cents":5},"withdraw":{}}', "invalid payload"),
        (b'{"deposit":}', "invalid payload"),
        (b'{"deposit":{"of":"ann"}}', "invalid payload"),
    ],
)
def test_a_body_that_does_not_say_so_is_a_dead_letter(body: bytes, reason: str) -> None:
    job = decoded(body)
    assert isinstance(job, Malformed)
    assert job.reason == reason


def test_a_type_that_is_not_loaded_may_be_another_workers() -> None:
    job = decoded(b'{"transfer":{"of":"ann","cents":5}}')
    assert isinstance(job, Unknown)
    assert (job.kind, job.malformed.reason) == ("type", "unknown type")


def test_a_message_under_the_name_of_one_type_is_not_taken() -> None:
    job = decoded(b'{"of":"ann","cents":5}', "deposit")
    assert isinstance(job, Malformed)
    assert "is in group 'account'" in job.detail


def test_a_type_outside_of_groups_is_decoded_as_ever() -> None:
    job = decoded(b'{"of":"ann","cents":5}', "notice")
    assert isinstance(job, Job)
    assert job.processor is NOTICE


async def test_a_processor_of_a_group_is_tested_like_any_other() -> None:
    done = await run_job(DEPOSIT, Amount(of="ann", cents=5))
    assert done.result == 5
    assert [entry.kind for entry in done.log] == ["deposit"]
    with pytest.raises(PayloadInvalid):
        Registry([DEPOSIT]).new_job("deposit", b'{"of":"ann"}')
