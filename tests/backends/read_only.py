"""Tries to open planes where nothing may be written, and prints why that failed; run by the fault tests.

Arguments: the database's URL, the blobs' URL and, where it should not be this user, the number of another.
"""

from __future__ import annotations

import asyncio
import os
import sys

from jobkit.backends.registry import open_planes
from jobkit.errors import ConfigurationError
from jobkit.settings import Settings


async def attempt(database: str, blobs: str) -> None:
    settings = Settings.model_validate(
        {"broker_url": database, "coordinator_url": database, "store_url": database, "blobs_url": blobs}
    )
    try:
        async with open_planes(settings):
            print("opened")
    except ConfigurationError as error:
        print(error)


if __name__ == "__main__":
    if len(sys.argv) > 3:
        # Only now: the interpreter itself may lie where that user cannot read.
        os.setuid(int(sys.argv[3]))
    asyncio.run(attempt(sys.argv[1], sys.argv[2]))
