"""Sources in a bucket of a real S3 server, fetched by a whole job."""

from __future__ import annotations

import pytest
from aiobotocore.session import get_session
from transcode_bench import Desk, Samples

from jobkit import Reject
from jobkit.lab.servers.s3 import ACCESS_KEY, SECRET_KEY, S3Server, shared_server

pytestmark = pytest.mark.servers("s3")

BUCKET = "films"


@pytest.fixture(scope="module", autouse=True)
def server() -> S3Server:
    """The run's own, which is there before a test looks what it leaves behind."""
    return shared_server()


@pytest.fixture
async def bucket(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name the server and its login as AWS's own variables do; return the name of a bucket there."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    name = f"{BUCKET}-{server.new_name()}"
    await server.make_bucket(name)
    return name


async def put(bucket: str, key: str, content: bytes) -> None:
    async with get_session().create_client("s3") as client:
        await client.put_object(Bucket=bucket, Key=key, Body=content)


async def test_film_in_a_bucket_is_transcoded(desk: Desk, samples: Samples, bucket: str) -> None:
    desk.settings["source_buckets"] = (bucket,)
    await put(bucket, "holiday/a film.mp4", samples.plain().read_bytes())
    result = await desk.run(f"s3://{bucket}/holiday/a film.mp4", hls=False)
    assert result.source.size == samples.plain().stat().st_size
    assert [each.name for each in result.renditions] == ["180p"]
    assert desk.left_behind() == []


async def test_film_that_is_not_in_the_bucket_is_rejected(desk: Desk, bucket: str) -> None:
    desk.settings["source_buckets"] = (bucket,)
    with pytest.raises(Reject, match="cannot be had"):
        await desk.run(f"s3://{bucket}/nothing.mp4")


async def test_bucket_that_the_settings_do_not_name_is_not_asked(desk: Desk, bucket: str) -> None:
    desk.settings["source_buckets"] = ("another",)
    with pytest.raises(Reject, match="JOBKIT_TRANSCODE_SOURCE_BUCKETS"):
        await desk.run(f"s3://{bucket}/film.mp4")


async def test_film_that_is_larger_than_allowed_is_rejected(desk: Desk, samples: Samples, bucket: str) -> None:
    desk.settings |= {"source_buckets": (bucket,), "max_source_mb": 1}
    large = desk.sources / "large.mp4"
    large.write_bytes(samples.plain().read_bytes() + bytes(1 << 20))
    await put(bucket, "large.mp4", large.read_bytes())
    with pytest.raises(Reject, match="JOBKIT_TRANSCODE_MAX_SOURCE_MB"):
        await desk.run(f"s3://{bucket}/large.mp4")
