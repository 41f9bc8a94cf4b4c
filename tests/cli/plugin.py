"""Job types for the tests of the command line."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobkit import Context, Payload, Reject, processor


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


@processor("chapter", key=lambda job: job.about, ordered=True)
async def chapter(job: Note, ctx: Context) -> str:
    """Take chapters of a book in order."""
    return job.text


@processor("refusal", key=lambda job: job.about)
async def refusal(job: Note, ctx: Context) -> None:
    """Never succeed."""
    raise Reject(f"nobody may speak about {job.about}")
