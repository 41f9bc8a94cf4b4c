"""Urgent jobs first: of many that wait, the one that was submitted last is among the next to run.

Run it, with a worker in another terminal:

    export JOBKIT_PLUGINS=priorities
    jobkit worker letter &
    python priorities.py
"""

from __future__ import annotations

import asyncio
import time

from jobkit import Context, Payload, connect, processor


class Letter(Payload):
    """What the job is given."""

    number: int


@processor("letter", key=lambda job: str(job.number), priority="normal")
async def letter(job: Letter, ctx: Context) -> float:
    """Send a letter, and say when that was begun."""
    began = time.time()
    await ctx.progress(0.5, f"sending letter {job.number}")
    await asyncio.sleep(0.2)
    return began


async def main() -> None:
    """Submit many letters, and an urgent one behind them."""
    async with connect() as client:
        letters = [client.job("letter", Letter(number=number)) for number in range(60)]
        letters.append(client.job("letter", Letter(number=60), priority="high"))
        began = []
        for submission in await client.submit_many(letters):
            async for job in client.watch(submission.id, timeout=60):
                last = job
            began.append(float(last.result or b"nan"))
    before = sum(other < began[-1] for other in began[:-1])
    print(f"{len(began)} letters; the urgent one began before half of the others: {'yes' if before < 30 else 'no'}")


if __name__ == "__main__":
    asyncio.run(main())
