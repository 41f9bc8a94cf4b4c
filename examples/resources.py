"""Resources: what a worker opens once, before its first job, and closes after its last. Jobs ask for it by annotation.

Run it:

    export JOBKIT_PLUGINS=resources
    jobkit worker price &
    python resources.py
"""

import asyncio
import sqlite3
from collections.abc import Iterator
from typing import Annotated

from pydantic_settings import BaseSettings

from jobkit import Context, Payload, connect, processor, resource


class ShopSettings(BaseSettings):
    """From the variable SHOP_DATABASE; validated when a worker starts."""

    shop_database: str = ":memory:"


@resource
def database(settings: ShopSettings) -> Iterator[sqlite3.Connection]:
    """Open a database: blocking code, so it runs in a thread."""
    connection = sqlite3.connect(settings.shop_database, check_same_thread=False)
    yield connection
    connection.close()


@resource
def prices(database: Annotated[sqlite3.Connection, database]) -> dict[str, int]:
    """Load all prices once: a resource may need others, and need not be closed."""
    return dict(database.execute("SELECT 'apple', 30 UNION SELECT 'pear', 50"))


class Price(Payload):
    """What is asked for."""

    name: str
    number: int


@processor("price", key=lambda job: job.name)
async def price(job: Price, ctx: Context, book: Annotated[dict[str, int], prices]) -> int:
    """Say what it costs."""
    ctx.log.debug("looking up", name=job.name)
    return job.number * book[job.name]


async def main() -> None:
    """Ask for two prices."""
    async with connect() as client:
        for wanted in (Price(name="apple", number=3), Price(name="pear", number=2)):
            submitted = await client.submit("price", wanted)
            async for job in client.watch(submitted.id, timeout=60):
                pass
            print(f"{wanted.number} x {wanted.name}: {(job.result or b'').decode()} cents")


if __name__ == "__main__":
    asyncio.run(main())
