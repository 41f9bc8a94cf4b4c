"""Sources at `s3://BUCKET/KEY`: of buckets that the worker's settings name, with AWS's own chain of credentials.

Another endpoint than Amazon's is what `AWS_ENDPOINT_URL` says, as for all of AWS's tools.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from aiohttp import ClientError as ConnectionTrouble
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from jobkit import Reject
from workers.transcode.fetching import Broken, Part, Remote
from workers.transcode.settings import TranscodeSettings
from workers.transcode.source import shown_reference

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

_CHUNK_BYTES = 1 << 18
_CONNECT_SECONDS = 10.0
_CHANGED = 412


@dataclass(frozen=True, slots=True)
class S3Remotes:
    """What a worker may fetch of S3."""

    settings: TranscodeSettings

    @asynccontextmanager
    async def named(self, reference: str) -> AsyncIterator[Remote]:
        """Open a client for one source. Raises `Reject` where its bucket is none that may be read."""
        bucket, _, key = reference.partition("://")[2].partition("/")
        if not bucket or not key:
            raise Reject(f"source {shown_reference(reference)}: write s3://BUCKET/KEY")
        if bucket not in self.settings.source_buckets:
            raise Reject(
                f"source {shown_reference(reference)}: JOBKIT_TRANSCODE_SOURCE_BUCKETS does not name its bucket"
            )
        config = AioConfig(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=self.settings.stall_timeout,
            retries={"total_max_attempts": 2, "mode": "standard"},
            user_agent_extra="jobkit",
        )
        async with get_session().create_client("s3", config=config) as client:
            yield _S3Remote(client, bucket, key, reference)


@dataclass(frozen=True, slots=True)
class _S3Remote:
    client: S3Client
    bucket: str
    key: str
    reference: str

    @asynccontextmanager
    async def part(self, start: int, tag: str | None) -> AsyncIterator[Part]:
        named = shown_reference(self.reference)
        try:
            answer = await self._asked(start, tag)
            async with answer["Body"] as body:
                total = start + answer["ContentLength"]
                yield Part(start, total, answer["ETag"], body.iter_chunks(_CHUNK_BYTES))
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if status == _CHANGED:
                raise Reject(f"source {named} was replaced while it was fetched: submit it again") from error
            if 400 <= status < 500 and status != 429:
                raise Reject(f"source {named} cannot be had: {error}") from error
            raise Broken(str(error)) from error
        except (BotoCoreError, HTTPClientError, ConnectionTrouble, TimeoutError, OSError) as error:
            raise Broken(str(error) or type(error).__name__) from error

    async def _asked(self, start: int, tag: str | None) -> Any:
        if not start or tag is None:
            return await self.client.get_object(Bucket=self.bucket, Key=self.key)
        return await self.client.get_object(Bucket=self.bucket, Key=self.key, Range=f"bytes={start}-", IfMatch=tag)
