"""Groups of jobs: counts of their members, and what becomes of `then` once the last has ended.

Whatever ends a member, or has it begin anew, counts it in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.sqlite import ending, outbox, submit
from jobkit.backends.sqlite.release import released
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.errors import JobConflict
from jobkit.model.envelope import Envelope
from jobkit.model.job_group import MEMBERS_FAILED, WHEN_RELEASED, NewGroup, OnFailure
from jobkit.model.job_state import JobState
from jobkit.ports.groups import GroupMember, GroupRecord
from jobkit.ports.rules import not_a_group, not_in_group
from jobkit.ports.store import Accepted, Conflict, Known, NewJob, OutboxEntry

# The columns that count, and where a member is that has yet to end.
UNENDED = "unended"
DEAD = "dead"
PURGED = "purged"

# A group that nobody waits for any more was last added to then: workers end it like one that is never declared whole.
_LONG_AGO = -1e18

_GROUP = (
    "SELECT id, parent, on_failure, undeclared = 0, abandoned, settled, unended, committed, dead, purged, cancelled, "
    "expired FROM job_groups "
)
_THEN = (
    "SELECT j.number, j.type, j.key, j.ordered, e.envelope FROM jobs j JOIN envelopes e ON e.job = j.number "
    "WHERE j.id = ? AND j.state = 'scheduled' AND j.due = ?"
)


# ---- coming into being -----------------------------------------------------------------------------------------------


def accept(transaction: Transaction, job: NewJob, source: str | None) -> Accepted | Known:
    """Accept a job that closes a group, or is a member of one. Raises `JobConflict`; nothing may stand then."""
    id = job.envelope.id
    answer = submit.accept(transaction, job, source)
    if isinstance(answer, Conflict):
        raise JobConflict(not_a_group(id) if job.member_of is None else not_in_group(id, job.member_of))
    if job.closes is not None:
        _close(transaction, id, job.closes, source, is_new=isinstance(answer, Accepted))
    if job.member_of is not None:
        _join(transaction, id, job.member_of, is_new=isinstance(answer, Accepted))
    return answer


def _close(transaction: Transaction, id: str, group: NewGroup, source: str | None, *, is_new: bool) -> None:
    if not is_new:
        row = transaction.execute("SELECT on_failure, held, members FROM job_groups WHERE id = ?", (id,))
        if row.fetchone() != (group.on_failure, group.held, group.members):
            raise JobConflict(not_a_group(id))
        return
    _insert(transaction, id, group, source)
    outer = transaction.execute("SELECT member_of FROM jobs WHERE id = ?", (source,)).fetchone()
    if outer is not None and outer[0] is not None:
        # It takes the place of the member that made it.
        transaction.execute("UPDATE jobs SET member_of = ? WHERE id = ?", (outer[0], id))
        count(transaction, outer[0], None, UNENDED)


def await_members(
    transaction: Transaction, id: str, members: Sequence[NewJob], on_failure: OnFailure
) -> list[OutboxEntry]:
    """Make a group that a job waits for, and accept its members. Raises `JobConflict`; nothing may stand then."""
    if group(transaction, id) is not None:
        raise JobConflict(not_a_group(id))
    _insert(transaction, id, NewGroup(len(members), on_failure), parent=id)
    released = []
    for job in members:
        answer = accept(transaction, job, id)
        if not isinstance(answer, Accepted):
            raise JobConflict(not_in_group(job.envelope.id, id))
        if answer.position is not None:
            released.append(OutboxEntry(answer.position, answer.envelope))
    return released


def abandon(transaction: Transaction, ids: Sequence[str]) -> None:
    """Have the members of groups that cancelled jobs waited for be cancelled, a page at a time."""
    transaction.executemany(
        "UPDATE job_groups SET undeclared = 1, touched = ? WHERE id = ? AND parent = id AND NOT settled",
        [(_LONG_AGO, id) for id in ids],
    )


def _insert(transaction: Transaction, id: str, group: NewGroup, parent: str | None) -> None:
    transaction.execute(
        "INSERT INTO job_groups (id, parent, on_failure, held, to_release, members, undeclared, unended, touched) "
        "VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?5, ?5, ?6)",
        (id, parent, group.on_failure, group.held, group.members, transaction.now),
    )


def _join(transaction: Transaction, id: str, group: str, *, is_new: bool) -> None:
    if not is_new:
        if transaction.execute("SELECT member_of FROM jobs WHERE id = ?", (id,)).fetchone() != (group,):
            raise JobConflict(not_in_group(id, group))
        return
    taken = transaction.execute(
        "UPDATE job_groups SET undeclared = undeclared - 1, touched = ? "
        "WHERE id = ? AND undeclared > 0 AND NOT abandoned",
        (transaction.now, group),
    ).rowcount
    if not taken:
        raise JobConflict(not_in_group(id, group))
    transaction.execute("UPDATE jobs SET member_of = ? WHERE id = ?", (group, id))


def release_held(transaction: Transaction, *, limit: int) -> list[OutboxEntry]:
    """Release members of a group that were held until all were declared, in order."""
    group = transaction.execute(
        "SELECT id, released_to FROM job_groups WHERE to_release AND undeclared = 0 ORDER BY id LIMIT 1"
    ).fetchone()
    if group is None:
        return []
    # A member that closes a group itself waits for that one.
    rows = transaction.execute(
        "SELECT j.number, j.id, j.ordered, e.envelope FROM jobs j JOIN envelopes e ON e.job = j.number "
        "WHERE j.member_of = ? AND j.number > ? AND j.ended IS NULL AND j.due = ? "
        "AND NOT EXISTS (SELECT 1 FROM job_groups g WHERE g.id = j.id) ORDER BY j.number LIMIT ?",
        (*group, WHEN_RELEASED, limit),
    ).fetchall()
    transaction.execute(
        "UPDATE job_groups SET to_release = ?, released_to = ? WHERE id = ?",
        (len(rows) == limit, rows[-1][0] if rows else group[1], group[0]),
    )
    return released(transaction, rows)


# ---- ending ----------------------------------------------------------------------------------------------------------


def count(
    transaction: Transaction, group: str | None, was: str | None, becomes: str, source: str = outbox.UNTOLD
) -> list[OutboxEntry]:
    """Count a member of a group that was one thing and becomes another; None: it is new.

    Where that leaves none to wait for, `then` is released, as following from `source`, or dies. Returns its entry.
    """
    if group is None:
        return []
    less = "" if was is None else f"{was} = {was} - 1, "
    row = transaction.execute(
        f"UPDATE job_groups SET {less}{becomes} = {becomes} + 1 WHERE id = ? "  # noqa: S608  (names of columns)
        "RETURNING settled, unended, on_failure, dead, dead + purged + cancelled + expired",
        (group,),
    ).fetchone()
    if row is None:
        return []
    settled, unended, on_failure, dead, failed = row
    if settled or unended or (dead and on_failure == "wait"):
        return []
    transaction.execute("UPDATE job_groups SET settled = 1 WHERE id = ?", (group,))
    then = transaction.execute(_THEN, (group, WHEN_RELEASED)).fetchone()
    if then is None:
        # It was cancelled, or has expired.
        return []
    number, type, key, ordered, packed = then
    if not failed or on_failure == "run":
        return released(transaction, [(number, group, ordered, packed)], source)
    bury_scheduled(transaction, group, type, key, Envelope.unpack(packed))
    return []


def bury_scheduled(transaction: Transaction, id: str, type: str, key: str | None, envelope: Envelope) -> None:
    """Dead-letter the `then` of a group whose members failed."""
    transaction.execute(
        "INSERT INTO dead (id, type, key, reason, detail, raw, envelope, died_at) VALUES (?, ?, ?, ?, '', ?, ?, ?)",
        (id, type, key, MEMBERS_FAILED, envelope.body, envelope.pack(), transaction.wall),
    )
    count(transaction, ending.die(transaction, id, MEMBERS_FAILED), UNENDED, DEAD)


# ---- looking ---------------------------------------------------------------------------------------------------------


def group(transaction: Transaction, id: str) -> GroupRecord | None:
    """Return one group."""
    row = transaction.execute(_GROUP + "WHERE id = ?", (id,)).fetchone()
    return None if row is None else _record(row)


def groups(transaction: Transaction, *, below: str | None, limit: int) -> list[GroupRecord]:
    """Return groups, those with the highest ids first."""
    condition, values = ("", ()) if below is None else ("WHERE id < ? ", (below,))
    rows = transaction.execute(f"{_GROUP}{condition}ORDER BY id DESC LIMIT ?", (*values, limit)).fetchall()
    return [_record(row) for row in rows]


def groups_of(transaction: Transaction, parent: str, *, after: str, limit: int) -> list[GroupRecord]:
    """Return groups that the commit of a job made."""
    rows = transaction.execute(
        _GROUP + "WHERE parent = ? AND id > ? ORDER BY id LIMIT ?", (parent, after, limit)
    ).fetchall()
    return [_record(row) for row in rows]


def members(transaction: Transaction, id: str, *, after: int, limit: int) -> list[GroupMember]:
    """Return members of a group, in order."""
    rows = transaction.execute(
        "SELECT number, id, type, key, state, result, EXISTS (SELECT 1 FROM job_groups g WHERE g.id = jobs.id) "
        "FROM jobs WHERE member_of = ? AND number > ? ORDER BY number LIMIT ?",
        (id, after, limit),
    ).fetchall()
    return [
        GroupMember(number, member, type, key or "", JobState(state), result, bool(closes))
        for number, member, type, key, state, result, closes in rows
    ]


def _record(row: Sequence[object]) -> GroupRecord:
    id, parent, on_failure, declared, abandoned, settled, *counts = row
    return GroupRecord(id, parent, on_failure, bool(declared), bool(abandoned), bool(settled), *counts)  # type: ignore[arg-type]
