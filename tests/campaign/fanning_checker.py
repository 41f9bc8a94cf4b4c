"""What is wrong with groups, and with the work that pieces kept: read from what was committed, and from the journal."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from jobkit.ops.verify import Violation
from jobkit.ports.inspection import Inspection, JobState
from tests.campaign.fanning import FannedOut, Tree
from tests.campaign.names import PIECE
from tests.campaign.pieces import Made, Piece, member_id, then_id

# A bound on all pieces of a key, and more.
_MOST = 100_000
_PAGE = 500


async def fanning_findings(inspection: Inspection, told: FannedOut, journal: Path) -> list[Violation]:
    """Return all that is wrong. Raises `Unavailable`."""
    ids = sorted({id for tree in told.trees for id in _ids(tree)})
    states: dict[str, JobState] = {}
    for at in range(0, len(ids), _PAGE):
        states |= await inspection.states(ids[at : at + _PAGE])
    made: dict[str, list[Made]] = defaultdict(list)
    for key in sorted({piece.on for tree in told.trees for piece in _pieces(tree.piece)}):
        for entry in await inspection.log(PIECE, key, limit=_MOST):
            made[entry.job_id].append(Made.model_validate_json(entry.data))
    return [
        *effects(states, made),
        *(found for tree in told.trees for found in ends(tree, states, told.cancelled)),
        *(found for tree in told.trees for found in closed_last(tree, made)),
        *kept(_lines(journal), made),
    ]


def _lines(journal: Path) -> list[str]:
    return journal.read_text().splitlines() if journal.exists() else []


def _pieces(piece: Piece) -> Iterator[Piece]:
    yield piece
    for one in piece.pieces:
        yield from _pieces(one)


def _ids(tree: Tree) -> Iterator[str]:
    if not tree.by_client:
        yield tree.id
    for maker, piece in tree.groups():
        yield then_id(maker)
        yield from (member_id(maker, number) for number in range(len(piece.pieces)))


def effects(states: Mapping[str, JobState], made: Mapping[str, Sequence[Made]]) -> Iterator[Violation]:
    """What has committed took effect once, and nothing else did."""
    times = Counter({id: len(entries) for id, entries in made.items()})
    for id in sorted(states.keys() | times.keys()):
        if times[id] != (states.get(id) is JobState.COMMITTED):
            yield Violation("single-effect", id, f"is {states.get(id)}, and took effect {times[id]} times")


def ends(tree: Tree, states: Mapping[str, JobState], cancelled: set[str]) -> Iterator[Violation]:
    """Each piece ended as it was to, and what closes a group as the group says of members that failed."""
    wanted: dict[str, JobState] = {}
    if not tree.by_client:
        wanted[tree.id] = JobState.COMMITTED
    _settle(tree.id, tree.piece, cancelled, wanted)
    for id in _ids(tree):
        if states.get(id) is not wanted.get(id):
            yield Violation("groups", id, f"is {states.get(id)}, and should be {wanted.get(id)}")


def _settle(maker: str, piece: Piece, cancelled: set[str], wanted: dict[str, JobState]) -> str:
    """Work out how the members of a group end, and what closes it; return the latter's id."""
    ids: list[str] = []
    for number, one in enumerate(piece.pieces):
        id = member_id(maker, number)
        ids.append(id)
        wanted[id] = JobState.DEAD if one.dies and piece.on_failure != "wait" else JobState.COMMITTED
        if id in cancelled:
            wanted[id] = JobState.CANCELLED
        if one.pieces and wanted[id] is JobState.COMMITTED:
            ids.append(_settle(id, one, cancelled, wanted))
    if piece.on_failure == "wait":
        # Somebody has looked after those that were dead.
        wanted.update({id: JobState.COMMITTED for id in ids if wanted[id] is JobState.DEAD})
    then = then_id(maker)
    failed = any(wanted[id] is not JobState.COMMITTED for id in ids)
    wanted[then] = JobState.DEAD if failed and piece.on_failure != "run" else JobState.COMMITTED
    if then in cancelled:
        wanted[then] = JobState.CANCELLED
    return then


def closed_last(tree: Tree, made: Mapping[str, Sequence[Made]]) -> Iterator[Violation]:
    """What closes a group saw all of its members, each of which had ended, for good where the group waits for them."""
    for maker, piece in tree.groups():
        members = {member_id(maker, number) for number in range(len(piece.pieces))}
        for entry in made.get(then_id(maker), ()):
            if missing := members - entry.members.keys():
                yield Violation("groups", then_id(maker), f"did not see {sorted(missing)}")
            early = [id for id, state in entry.members.items() if not JobState(state).ended]
            if piece.on_failure == "wait":
                early += [id for id, state in entry.members.items() if state == JobState.DEAD.value]
            if early:
                yield Violation("groups", then_id(maker), f"began before {sorted(early)} had ended: {entry.members}")


def kept(journal: Sequence[str], made: Mapping[str, Sequence[Made]]) -> Iterator[Violation]:
    """No attempt finds less than what an earlier one, by its token, was told is kept; a step has one result."""
    # Lines of one token are of one process, in its order. A line that a kill cut off says nothing.
    lines = [json.loads(line) for line in journal if line.endswith("}")]
    reached: Counter[str] = Counter()
    steps: dict[str, str] = {}
    for line in sorted(lines, key=lambda line: line["token"]):
        job, what, value = line["job"], line["what"], line["value"]
        if what == "found" and value < reached[job]:
            yield Violation("kept", job, f"{value} slices were found under {line['token']}, {reached[job]} were kept")
        elif what == "kept":
            reached[job] = max(reached[job], value)
        elif what == "step" and steps.setdefault(job, value) != value:
            yield Violation("kept", job, f"its step made {value} under {line['token']}, and {steps[job]} before")
    for job, entries in made.items():
        for entry in entries:
            if steps.get(job, entry.step) != entry.step:
                yield Violation("kept", job, f"committed what its step made as {entry.step}, not {steps[job]}")
