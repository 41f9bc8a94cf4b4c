"""Fan out, fan in: a job makes a group of jobs, and one more runs once all of those have ended.

Run it:

    export JOBKIT_PLUGINS=fan_out
    jobkit worker book page binding &
    python fan_out.py
"""

from __future__ import annotations

import asyncio
import json

from jobkit import Context, Payload, connect, processor


class Book(Payload):
    """What is to be counted."""

    title: str
    pages: list[str]


class Page(Payload):
    """One part of it."""

    title: str
    number: int
    text: str


class Binding(Payload):
    """What is to be made of the parts."""

    title: str


@processor("book", key=lambda job: job.title)
async def book(job: Book, ctx: Context) -> str:
    """Make a job of each page. Returns the id of the one that comes last, which is the group's."""
    pages = [Page(title=job.title, number=number, text=text) for number, text in enumerate(job.pages)]
    # A page that cannot be read does not keep the rest from being bound.
    return ctx.submit_group(pages, then=Binding(title=job.title), on_failure="run")


@processor("page", key=lambda job: f"{job.title}/{job.number}")
async def page(job: Page, ctx: Context) -> int:
    """Count the words of one page, beside all others."""
    await ctx.progress(0.5, "counting")
    return len(job.text.split())


@processor("binding", key=lambda job: job.title)
async def binding(job: Binding, ctx: Context) -> str:
    """Add up what the pages have found."""
    words = [member.load(int) or 0 async for member in ctx.members()]
    return f"{job.title} has {sum(words)} words on {len(words)} pages"


async def main() -> None:
    """Submit a book, then wait for what becomes of its pages."""
    async with connect() as client:
        submission = await client.submit("book", Book(title="Ants", pages=["one two", "three", "four five six"]))
        async for job in client.watch(submission.id, timeout=60):
            pass
        group = json.loads(job.result or b"null")
        async for job in client.watch(group, timeout=60):
            pass
        print(json.loads(job.result or b"null"))


if __name__ == "__main__":
    asyncio.run(main())
