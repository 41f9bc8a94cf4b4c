"""What people do to groups in a campaign: submit them, cancel some of their members, and look after those that died."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from jobkit.model.job_group import OnFailure
from jobkit.ports.inspection import JobState
from tests.campaign.answered import answered
from tests.campaign.cluster import Cluster
from tests.campaign.names import PIECE
from tests.campaign.pieces import Journal, Piece, member_id, then_id
from tests.campaign.schedule import Schedule

_KEYS = 10
_LOOK_SECONDS = 0.5
_ON_FAILURE: tuple[OnFailure, ...] = ("wait", "run", "die")
# Of the groups so many have a member cancelled, or what closes them.
_CANCELLED = 0.3


@dataclass(frozen=True, slots=True)
class Tree:
    """A piece that makes a group; `by_client`: a program makes the group, and there is no such piece."""

    id: str
    piece: Piece
    by_client: bool

    def groups(self) -> Iterator[tuple[str, Piece]]:
        """Yield who makes a group, and of what: the piece itself, and those of its members that do."""
        return _groups(self.id, self.piece)


def _groups(maker: str, piece: Piece) -> Iterator[tuple[str, Piece]]:
    if piece.pieces:
        yield maker, piece
        for number, one in enumerate(piece.pieces):
            yield from _groups(member_id(maker, number), one)


@dataclass
class FannedOut:
    """What people know of groups when all is over."""

    trees: list[Tree] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)


class Fanning:
    """The people of one campaign who have to do with groups."""

    def __init__(self, cluster: Cluster, schedule: Schedule, journal: Path) -> None:
        self.told = FannedOut()
        self._cluster = cluster
        self._inspection = cluster.site.planes.inspection
        self._client = cluster.site.client
        self._rng = random.Random(f"fanning {schedule.seed}")
        self._journal = Journal(journal)
        self._every = schedule.seconds / max(1, schedule.scale.trees)
        self._drawn = [self._draw(f"{schedule.seed}-tree-{number}") for number in range(schedule.scale.trees)]
        self._waited_for = {
            id
            for tree in self._drawn
            for maker, piece in tree.groups()
            if piece.on_failure == "wait"
            for number in range(len(piece.pieces))
            for id in (member_id(maker, number), then_id(member_id(maker, number)))
        }

    def _draw(self, id: str) -> Tree:
        rng = self._rng
        inner = [self._piece(dies=rng.random() < 0.2) for _ in range(rng.randint(1, 2))]
        pieces = [self._piece(dies=rng.random() < 0.2) for _ in range(rng.randint(1, 4))]
        if rng.random() < 0.4:
            pieces.append(self._piece(pieces=tuple(inner), on_failure=rng.choice(_ON_FAILURE)))
        root = self._piece(pieces=tuple(pieces), on_failure=rng.choice(_ON_FAILURE))
        return Tree(id, root, by_client=rng.random() < 0.5)

    def _piece(self, **more: object) -> Piece:
        rng = self._rng
        return Piece.model_validate({"on": f"pieces-{rng.randrange(_KEYS)}", "slices": rng.randint(1, 5), **more})

    async def run(self) -> None:
        """Submit all groups, evenly over the time that the faults take, and cancel what is wanted no more."""
        async with anyio.create_task_group() as cancelling:
            for tree in self._drawn:
                await answered(lambda tree=tree: self._submit(tree))  # type: ignore[misc]  # a lambda of this turn
                self.told.trees.append(tree)
                if self._rng.random() < _CANCELLED:
                    maker, piece = self._rng.choice(list(tree.groups()))
                    ids = [then_id(maker), *(member_id(maker, number) for number in range(len(piece.pieces)))]
                    cancelling.start_soon(self._cancel, self._rng.choice(ids), self._rng.uniform(0, 3))
                await anyio.sleep(self._every)

    async def _submit(self, tree: Tree) -> object:
        """Submit it: again where that was not answered, under the same ids."""
        client, piece = self._client, tree.piece
        if not tree.by_client:
            return await client.submit(PIECE, piece, id=tree.id)
        return await client.submit_group(
            [client.job(PIECE, one, id=member_id(tree.id, number)) for number, one in enumerate(piece.pieces)],
            then=client.job(PIECE, Piece(on=piece.on, closes=True), id=then_id(tree.id)),
            on_failure=piece.on_failure,
        )

    async def _cancel(self, id: str, after: float) -> None:
        await anyio.sleep(after)
        (answer,) = await answered(lambda: self._inspection.cancel([id], by="campaign", reason="not wanted"))
        if answer.state is JobState.CANCELLED:
            self.told.cancelled.add(id)

    async def look_after(self) -> None:
        """Mend and requeue what a group waits for, and throw away what nobody does, until cancelled."""
        while True:
            await anyio.sleep(_LOOK_SECONDS)
            for letter in await answered(lambda: self._inspection.dead(type=PIECE)):
                number, id = letter.number, letter.id or ""
                if id in self._waited_for:
                    self._journal.mended(id).touch()
                    await answered(lambda number=number: self._inspection.requeue_dead(number))  # type: ignore[misc]
                else:
                    await answered(lambda number=number: self._inspection.purge_dead(number))  # type: ignore[misc]
