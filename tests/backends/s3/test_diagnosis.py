"""What is found of a bucket, and which ones blobs refuse to be kept in."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import anyio
import pytest

from jobkit.backends.registry import open_planes
from jobkit.backends.s3.address import parse_address
from jobkit.backends.s3.blobs import opened_blobs
from jobkit.backends.s3.client import open_client
from jobkit.backends.s3.diagnosis import diagnose
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.lab.servers.base import free_port
from jobkit.lab.servers.s3 import SECRET_KEY, S3Server, shared_server, start_server
from jobkit.model.blob import BlobSpace
from jobkit.model.clock import SystemClock
from jobkit.model.fence import Fence
from jobkit.ports.diagnosis import Status
from jobkit.settings import Settings
from jobkit.testing.conformance.manual_clock import ManualClock

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client


@asynccontextmanager
async def a_bucket() -> AsyncIterator[tuple[str, S3Client, str]]:
    """Lend a bucket of the test's own: its name, a client, and the URL of a place in it."""
    server = shared_server()
    bucket = server.new_name()
    await server.make_bucket(bucket)
    async with open_client(parse_address(server.url(bucket))) as client:
        yield bucket, client, server.url(bucket, "p")


async def found(url: str) -> dict[Status, list[str]]:
    sorted_: dict[Status, list[str]] = {status: [] for status in Status}
    for finding in await diagnose(url, SystemClock()):
        sorted_[finding.status].append(finding.what)
        assert finding.change or finding.status is Status.OK
    return sorted_


async def with_rules(client: S3Client, bucket: str, *rules: Any) -> None:
    common = {"Status": "Enabled", "Filter": {"Prefix": ""}}
    await client.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={"Rules": [{"ID": str(place), **common, **rule} for place, rule in enumerate(rules)]},
    )


ABORT = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}


async def test_a_bucket_set_up_as_documented_is_fine_and_left_as_it_was() -> None:
    async with a_bucket() as (bucket, client, url):
        await with_rules(client, bucket, ABORT)
        told = await found(url)
        assert (told[Status.WARN], told[Status.FAIL]) == ([], [])
        assert any("If-None-Match" in what for what in told[Status.OK])
        assert "Contents" not in await client.list_objects_v2(Bucket=bucket)
        assert not (await client.list_multipart_uploads(Bucket=bucket)).get("Uploads")


async def test_a_bucket_without_a_rule_for_unfinished_uploads_is_a_risk() -> None:
    async with a_bucket() as (_, _, url):
        (what,) = (await found(url))[Status.WARN]
        assert "unfinished uploads" in what


async def test_a_bucket_that_keeps_old_versions_for_ever_is_a_risk() -> None:
    async with a_bucket() as (bucket, client, url):
        await with_rules(client, bucket, ABORT)
        await client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        (what,) = (await found(url))[Status.WARN]
        assert "old versions for ever" in what
        await with_rules(client, bucket, ABORT, {"NoncurrentVersionExpiration": {"NoncurrentDays": 1}})
        assert (await found(url))[Status.WARN] == []


async def test_a_clock_that_is_off_is_a_risk() -> None:
    async with a_bucket() as (bucket, client, url):
        await with_rules(client, bucket, ABORT)
        clock = ManualClock()
        clock.advance(SystemClock().wall() - clock.wall() + 300)
        (risk,) = [finding for finding in await diagnose(url, clock) if finding.status is Status.WARN]
        assert re.match(r"its clock is \d+ s behind this machine's; from 900 s on", risk.what)


async def test_a_rule_that_expires_files_is_a_risk() -> None:
    async with a_bucket() as (bucket, client, url):
        await with_rules(client, bucket, ABORT, {"Expiration": {"Days": 30}})
        (what,) = (await found(url))[Status.WARN]
        assert "files of committed jobs disappear" in what


@pytest.fixture(scope="module")
def guarded() -> Any:
    """A server with users who may do less."""
    server = start_server({"reader": ["Read", "List"], "writer": ["Read", "Write", "List"], "nobody": ["Read:other"]})
    anyio.run(server.make_bucket, "bucket")
    yield server
    server.process.kill()


def login(name: str, secret: str = SECRET_KEY) -> str:
    return f"{name}:{quote(secret, safe='')}"


async def test_credentials_that_may_not_write_are_broken(guarded: S3Server) -> None:
    (what,) = (await found(guarded.url("bucket", login=login("reader"))))[Status.FAIL]
    assert "lack" in what
    assert "s3:PutObject" in what
    assert (await found(guarded.url("bucket", login=login("writer"))))[Status.FAIL] == []


async def test_a_writer_who_may_not_ask_for_settings_is_told_so(guarded: S3Server, tmp_path: Path) -> None:
    url = guarded.url("bucket", "p", login=login("writer"))
    assert any("does not tell" in what for what in (await found(url))[Status.WARN])
    (tmp_path / "x").write_bytes(b"x")
    async with opened_blobs(url) as blobs:
        ref = await blobs.store(BlobSpace("t", "k", Fence(1, "n", "me")), "x", tmp_path / "x")
        await blobs.delete([ref.location])


@pytest.mark.parametrize(
    ("bucket", "who", "message"),
    [
        ("nosuch", login("jobkit"), "no such bucket"),
        ("bucket", login("nobody"), "access denied"),
        ("bucket", login("jobkit", "hunter2"), "not accepted"),
        ("bucket", login("stranger", "hunter2"), "not accepted"),
    ],
)
async def test_what_a_person_must_mend_is_said_at_the_start_without_the_secret(
    guarded: S3Server, bucket: str, who: str, message: str
) -> None:
    url = guarded.url(bucket, login=who)
    for refused in (diagnose(url, SystemClock()), opened_blobs(url).__aenter__(), _planes(url)):
        with pytest.raises(ConfigurationError, match=message) as caught:
            await refused
        for secret in ("hunter2", SECRET_KEY, quote(SECRET_KEY, safe="")):
            assert secret not in str(caught.value)


async def _planes(url: str) -> None:
    memory = dict.fromkeys(("broker_url", "coordinator_url", "store_url"), "memory:")
    async with open_planes(Settings.model_validate({**memory, "blobs_url": url})):
        pass


async def test_a_variable_that_is_wrong_is_named(guarded: S3Server) -> None:
    with pytest.raises(ConfigurationError, match=r"^JOBKIT_BLOBS_URL: .*no such bucket"):
        await _planes(guarded.url("nosuch"))


async def test_a_server_that_is_not_there_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobkit.backends.s3.client.TRIES", 1)
    with pytest.raises(Unavailable, match=r"^blobs: s3://bucket/ at http"):
        await diagnose(f"s3://a:b@bucket?endpoint_url=http://127.0.0.1:{free_port()}", SystemClock())


async def test_a_bucket_needs_a_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    url = f"s3://bucket?endpoint_url={shared_server().endpoint}"
    with pytest.raises(ConfigurationError, match="no credentials"):
        await diagnose(url, SystemClock())


async def test_a_login_may_come_from_the_usual_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "jobkit")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    async with (
        a_bucket() as (bucket, _, _),
        opened_blobs(f"s3://{bucket}?endpoint_url={shared_server().endpoint}") as blobs,
    ):
        assert [stored async for stored in blobs.objects()] == []
