"""One client for one place, with bounds on all that it does.

It promises nothing about what an error means; that is `faults`. Every request has a deadline that its retries share,
and no more of them are under way than there are connections.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import anyio
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from jobkit.backends.s3.address import S3Address
from jobkit.errors import ConfigurationError

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

T = TypeVar("T")

CONNECTIONS = 32
CONNECT_SECONDS = 5.0
# How long nothing may come from a server that was asked for something.
SILENCE_SECONDS = 20.0
# The first try is one of them. The client waits between them, with jitter, and longer each time.
TRIES = 4
# For a request with all its tries; one that carries bytes has as much more as the slowest link takes that is of use.
REQUEST_SECONDS = 60.0
SLOWEST_BYTES_PER_SECOND = 64 * 1024


@asynccontextmanager
async def open_client(address: S3Address) -> AsyncIterator[S3Client]:
    """Lend a client for the block. It has asked nothing of anybody yet. Raises `ConfigurationError`."""
    config = AioConfig(
        # Of links, too, which the client signs the older way in some regions.
        signature_version="s3v4",
        connect_timeout=CONNECT_SECONDS,
        read_timeout=SILENCE_SECONDS,
        max_pool_connections=CONNECTIONS,
        retries={"total_max_attempts": TRIES, "mode": "standard"},
        s3={"addressing_style": address.addressing_style},
        # Checksums are given where they are wanted; older servers refuse the client's own way of adding them.
        request_checksum_calculation="when_required",
        tcp_keepalive=True,
        user_agent_extra="jobkit",
    )
    opening = get_session().create_client(
        "s3",
        # Servers other than Amazon's take any name for where they are.
        region_name=address.region or ("us-east-1" if address.endpoint_url else None),
        endpoint_url=address.endpoint_url,
        aws_access_key_id=address.access_key,
        aws_secret_access_key=address.secret_key,
        config=config,
    )
    try:
        client = await opening.__aenter__()
    except ValueError as error:
        raise ConfigurationError(f"{address.name}: {error}") from error
    try:
        yield client
    finally:
        with anyio.CancelScope(shield=True):
            await opening.__aexit__(None, None, None)


async def answered(request: Awaitable[T], *, size: int = 0) -> T:
    """Return the answer to a request that carries `size` bytes. Raises `TimeoutError` past its deadline."""
    with anyio.fail_after(REQUEST_SECONDS + size / SLOWEST_BYTES_PER_SECOND):
        return await request
