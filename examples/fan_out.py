"""Fan out, fan in: a job makes a group of jobs, and one more runs once all of those have ended.

Run it:

    export JOBKIT_PLUGINS=fan_out
    jobkit worker book page binding &
    python fan_out.py
"""

from __future__ import annotations

import asyncio

from jobkit import Context, Payload, connect, processor


class Binding(Payload):
    """What the pages of a book are put together as."""

    title: str


class Book(Binding):
    """What is to be counted."""

    pages: list[str]


class Page(Binding):
    """One part of it."""

    number: int
    text: str


@processor("book", key=lambda job: job.title)
async def book(job: Book, ctx: Context) -> str:
    """Make a job of each page. Returns the id of the one that comes last, which is the group's."""
    pages = [Page(title=job.title, number=number, text=text) for number, text in enumerate(job.pages)]
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
        made = await book.submit(client, Book(title="Ants", pages=["one two", "three", "four five six"]))
        print(await client.handle(await made.result(timeout=60), binding).result(timeout=60))


if __name__ == "__main__":
    asyncio.run(main())
