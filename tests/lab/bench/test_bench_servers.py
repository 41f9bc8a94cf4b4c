"""`jobkit bench --servers`: private servers, ceilings and round trips."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lab.bench.site import measured

campaign = pytest.mark.skipif("CAMPAIGN" not in os.environ, reason="`make campaign` runs it")


@pytest.mark.slow
@pytest.mark.servers("rabbitmq", "redis", "postgres")
@pytest.mark.parametrize(
    ("servers", "store"), [("redis", "redis"), pytest.param("postgres", "postgresql", marks=campaign)]
)
def test_one_command_measures_the_distributed_set_up_beside_its_ceilings(
    servers: str, store: str, tmp_path: Path
) -> None:
    report = measured(tmp_path, "--servers", servers, "--latency", "80")
    assert (report["broker"], report["coordinator"], report["store"]) == ("rabbitmq", "redis", store)
    (round,) = report["rounds"]
    assert all(round["ceilings"][name] > 0 for name in ("publish", "consume", "scripted"))
    (drain,) = round["drains"]
    # A claim and a release, an opening and a commit for each job, but those of many jobs in one request.
    for plane in ("coordinator", "store"):
        assert 0 < drain["account"][f"{plane}_round_trips"] < 2 * drain["jobs"]
    assert report["renewal"]["round_trips"] == 1
    assert report["hot_key"]["milliseconds"] == 80
    assert min(report["hot_key"]["jobs"], report["hot_key"]["seconds"]) > 0
    assert [what for what, *_ in report["targets"]][:2] == [
        "publish, of aio-pika with confirms",
        "drain, of aio-pika with two scripts",
    ]
    assert list(tmp_path.iterdir()) == []
