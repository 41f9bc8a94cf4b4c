"""Ordered keys with a projection: deposits of one account take effect in the order of submission.

Run it:

    export JOBKIT_PLUGINS=account
    jobkit worker deposit &
    python account.py
    jobkit state deposit ann
"""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from jobkit import Context, Payload, Projection, connect, processor


class Deposit(Payload):
    """What the job is given; it is also what it appends to the account's log."""

    account: str
    cents: int


class Account(BaseModel):
    """What an account's log adds up to."""

    cents: int = 0
    deposits: int = 0


account = Projection("account", Account)


@account.on("Deposited")
def deposited(now: Account, event: Deposit) -> Account:
    """Return the account after one more deposit. The same log always gives the same account."""
    return Account(cents=now.cents + event.cents, deposits=now.deposits + 1)


@processor("deposit", key=lambda job: job.account, ordered=True, projections=[account])
async def deposit(job: Deposit, ctx: Context) -> Account:
    """Append the deposit to the log, and return the account with it."""
    ctx.append("Deposited", job)
    return await ctx.state(account)


async def main() -> None:
    """Submit three deposits in one transaction and print the account after each."""
    async with connect() as client:
        jobs = [client.job("deposit", Deposit(account="ann", cents=cents)) for cents in (100, 20, 3)]
        for submission in await client.submit_many(jobs):
            async for job in client.watch(submission.id, timeout=60):
                pass
            print(submission.sequence, (job.result or b"").decode())


if __name__ == "__main__":
    asyncio.run(main())
