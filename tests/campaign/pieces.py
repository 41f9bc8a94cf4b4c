"""The campaign's work in pieces; worker processes load it through JOBKIT_PLUGINS.

A piece keeps what it has done, so that whoever goes on with it need not begin anew. As it commits it makes a group of
other pieces, and of one that closes it and sees what became of them.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import anyio
from pydantic import BaseModel

from jobkit import Context, Payload, Reject, Result, processor
from jobkit.model.job_group import OnFailure
from tests.campaign.names import JOURNAL_VARIABLE, PIECE

_SLICE_SECONDS = 0.2


class Piece(Payload):
    """Work in so many `slices`. One that `dies` does so until somebody has mended it.

    It makes a group of `pieces`, or is what closes one.
    """

    on: str
    slices: int = 2
    dies: bool = False
    pieces: tuple[Piece, ...] = ()
    on_failure: OnFailure = "wait"
    closes: bool = False


class Reached(Result):
    """How many slices are done."""

    slices: int


class Made(BaseModel):
    """What a piece says as it commits: what its step has made, and the states of the members, if it closes a group."""

    step: str
    members: dict[str, str]


class Journal:
    """What attempts were told of the work that is kept: lines of JSON that outlive the processes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, ctx: Context, what: str, value: object) -> None:
        """Write a line: whole, whoever else writes."""
        line = json.dumps({"job": ctx.job.id, "token": ctx.fence.token, "what": what, "value": value})
        with self.path.open("a") as lines:
            lines.write(f"{line}\n")

    def mended(self, id: str) -> Path:
        """Return the file that is there once somebody has mended a job."""
        return self.path.parent / f"mended-{id}"


def member_id(maker: str, number: int) -> str:
    """Return the id of a member of the group that a piece makes."""
    return f"{maker}.m{number}"


def then_id(maker: str) -> str:
    """Return the id of the piece that closes the group of another."""
    return f"{maker}.then"


@processor(PIECE, key=lambda job: job.on)
async def piece(job: Piece, ctx: Context) -> None:
    """Go on from what is kept."""
    journal = Journal(Path(os.environ[JOURNAL_VARIABLE]))
    found = await ctx.resume(Reached)
    done = 0 if found is None else found.slices
    journal.note(ctx, "found", done)
    step = await ctx.step("begin", _begin)
    journal.note(ctx, "step", step)
    for number in range(done, job.slices):
        await anyio.sleep(_SLICE_SECONDS)
        await ctx.checkpoint(Reached(slices=number + 1))
        journal.note(ctx, "kept", number + 1)
    if job.dies and not journal.mended(ctx.job.id).exists():
        raise Reject("planned")
    members = {member.id: member.state.value async for member in ctx.members()} if job.closes else {}
    ctx.append("piece", Made(step=step, members=members))
    if job.pieces:
        ctx.submit_group(
            [ctx.new_job(PIECE, one, id=member_id(ctx.job.id, number)) for number, one in enumerate(job.pieces)],
            then=ctx.new_job(PIECE, Piece(on=job.on, closes=True), id=then_id(ctx.job.id)),
            on_failure=job.on_failure,
        )


async def _begin() -> str:
    return secrets.token_hex(8)
