"""Job types for the tests of the command line."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
from pydantic import BaseModel
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobkit import Context, Payload, Projection, Reject, processor


class Note(Payload):
    """Something to say about a subject."""

    about: str
    text: str = ""
    seconds: float = 0.0


class SickSettings(BaseSettings):
    """What a test sets to make the machine unfit for a job type."""

    model_config = SettingsConfigDict(env_prefix="SICK_")

    complaint: str = ""
    rounds: int = 1


async def _complaint() -> Sequence[str]:
    complaint = SickSettings().complaint
    return [complaint] if complaint else []


@processor("note", key=lambda job: job.about, settings=SickSettings, check=_complaint)
async def note(job: Note, ctx: Context) -> dict[str, str]:
    """Say it back, in steps."""
    for step in range(4):
        await anyio.sleep(job.seconds / 4)
        await ctx.progress((step + 1) / 4, f"step {step + 1}")
    return {"said": job.text}


async def _abilities() -> Sequence[str]:
    return ["runs"]


@processor("errand", key=lambda job: job.about, priority="normal", describe=_abilities)
async def errand(job: Note, ctx: Context) -> None:
    """Some are more urgent than others."""


@processor("chapter", key=lambda job: job.about, ordered=True)
async def chapter(job: Note, ctx: Context) -> str:
    """Take chapters of a book in order."""
    return job.text


@processor("refusal", key=lambda job: job.about)
async def refusal(job: Note, ctx: Context) -> None:
    """Never succeed."""
    raise Reject(f"nobody may speak about {job.about}")


class Said(BaseModel):
    """Something was said."""

    text: str


class Talk(BaseModel):
    """All that was said about a subject."""

    words: int = 0


talk = Projection("talk", Talk)


@talk.on("Said")
def said(now: Talk, event: Said) -> Talk:
    """Count words."""
    return Talk(words=now.words + len(event.text.split()))


@processor("speech", key=lambda job: job.about, ordered=True, projections=[talk])
async def speech(job: Note, ctx: Context) -> int:
    """Say something, for the log."""
    ctx.append("Said", Said(text=job.text))
    return (await ctx.state(talk)).words
