"""A plugin, and a program that submits a job to it and waits for the result.

Run it:

    export JOBKIT_PLUGINS=word_count
    jobkit worker word-count &
    python word_count.py
"""

from __future__ import annotations

import asyncio

from jobkit import Context, Payload, Reject, Result, connect, processor


class Text(Payload):
    """What the job is given."""

    document: str
    text: str


class Counted(Result):
    """What the job returns."""

    words: int


@processor("word-count", key=lambda job: job.document)
async def word_count(job: Text, ctx: Context) -> Counted:
    """Count the words of a document."""
    if not job.text.strip():
        raise Reject("the document is empty")
    words = len(job.text.split())
    ctx.append("counted", {"words": words})
    return Counted(words=words)


async def main() -> None:
    """Submit one job and print its result."""
    async with connect() as client:
        submission = await client.submit("word-count", Text(document="haiku", text="an old silent pond"))
        async for job in client.watch(submission.id, timeout=60):
            print(job.state)
        print(Counted.model_validate_json(job.result or b""))


if __name__ == "__main__":
    asyncio.run(main())
