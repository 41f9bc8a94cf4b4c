"""A plugin as a user of PostgreSQL writes it: each job changes a table of the user's own."""

from __future__ import annotations

import asyncpg

from jobkit import Context, Payload, Reject, RetryPolicy, processor

TABLE = "CREATE TABLE orders (job text NOT NULL, account text NOT NULL, number integer NOT NULL CHECK (number > 0))"


class Order(Payload):
    """An order of an account."""

    account: str
    number: int


@processor("order", key=lambda job: job.account, ordered=True, retry=RetryPolicy(max_attempts=1))
async def order(job: Order, ctx: Context) -> int:
    """Place an order."""

    @ctx.in_commit
    async def place(connection: asyncpg.Connection[asyncpg.Record]) -> None:
        if job.number == 13:
            raise Reject("unlucky")
        await connection.execute("INSERT INTO orders VALUES ($1, $2, $3)", ctx.job.id, job.account, job.number)

    return job.number
