"""PostgreSQL tables of your own: changed in the transaction that accepts a job, and in the one that commits it.

Run it:

    export JOBKIT_STORE_URL=postgresql://me@localhost/shop JOBKIT_PLUGINS=own_tables
    export JOBKIT_BROKER_URL=sqlite:///jobkit.db JOBKIT_COORDINATOR_URL=sqlite:///jobkit.db  # all on this machine
    jobkit migrate
    jobkit worker payment &
    python own_tables.py
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import asyncpg

from jobkit import Context, Payload, Reject, connect, processor


class Payment(Payload):
    """What the job is given."""

    account: str
    cents: int


@processor("payment", key=lambda job: job.account)
async def payment(job: Payment, ctx: Context) -> None:
    """Take money from an account, once, however often this runs."""

    @ctx.in_commit
    async def take(connection: Any) -> None:
        left = await connection.fetchval(
            "UPDATE accounts SET cents = cents - $2 WHERE name = $1 RETURNING cents", job.account, job.cents
        )
        if left is None or left < 0:
            raise Reject(f"{job.account} cannot pay {job.cents}")


async def main() -> None:
    """Open an account and submit its payments in one transaction; then wait for them."""
    database = await asyncpg.connect(os.environ["JOBKIT_STORE_URL"])
    async with connect() as client:
        await database.execute("CREATE TABLE IF NOT EXISTS accounts (name text PRIMARY KEY, cents int)")
        async with database.transaction():
            await database.execute("INSERT INTO accounts VALUES ('ann', 100)")
            jobs = [client.job("payment", Payment(account="ann", cents=60)) for _ in range(2)]
            submissions = await client.submit_many(jobs, connection=database)
        # From here on both are accepted. Had the transaction been rolled back, neither would ever have been.
        for submission in submissions:
            async for job in client.watch(submission.id, timeout=60):
                pass
            print(job.state, *(failure.error for failure in job.failures))
    print(await database.fetchval("SELECT cents FROM accounts WHERE name = 'ann'"), "cents left")
    await database.close()


if __name__ == "__main__":
    asyncio.run(main())
