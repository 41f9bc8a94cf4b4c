"""What people and checks look at: queries, and rows turned into the values of `jobkit.ports.inspection`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jobkit.backends.postgres.history import load_failures
from jobkit.model.blob import BlobRef
from jobkit.model.tenancy import tenant_in
from jobkit.ports.dead_letter import load_headers
from jobkit.ports.inspection import DeadLetter, JobRecord, JobState, KeyRecord, LoggedEntry, ParkedKey, StoreCounts
from jobkit.ports.rules import priority_in
from jobkit.ports.take_over import load_take_overs

Row = Mapping[str, Any]

# The columns of `job`, from all jobs.
JOB = (
    "SELECT id, type, coalesce(key, '') AS key, sequence, state, owner, token, opens, failures, progress, message, "
    "result, submitted_at, started_at, finished_at, ended_by, reason, "
    "CASE WHEN placed IS NOT false THEN nullif(due, 'infinity') END AS due_at, "
    'expires AS expires_at, unique_name AS "unique", member_of AS "group", '
    "(SELECT parent FROM jobkit.job_groups g WHERE g.id = jobs.member_of) AS parent, "
    "substring(envelope FROM 1 FOR position('\\x0a'::bytea IN envelope) - 1) AS priority, "
    "line AS tenant, ended IS NULL AND placed IS false AS waits_for_place, trace, taken_over AS take_overs "
    "FROM jobkit.jobs "
)
_DEAD = "SELECT number, id, type, key, sequence, reason, detail, failures, raw, died_at, headers FROM jobkit.dead "
_KEY = (
    "SELECT type, key, token, nonce, owner, submitted, committed, log_length, log_trimmed, blobs "
    "FROM jobkit.keys LEFT JOIN jobkit.manifests USING (type, key) "
)

RECORDS = JOB + "WHERE id = ANY ($1::text[])"
RUNNING = f"""{JOB}
    WHERE state = 'running' AND id = ANY (ARRAY(
        SELECT open.id FROM unnest($1::text[], $2::text[]) AS k (type, key) CROSS JOIN LATERAL (
            SELECT j.id FROM jobkit.jobs j WHERE j.type = k.type AND j.key = k.key AND j.ended IS NULL
            ORDER BY j.sequence LIMIT $3) open))
"""  # noqa: S608  (names from above)
ENVELOPE = "SELECT envelope, sequence FROM jobkit.jobs WHERE id = $1 AND envelope IS NOT NULL"
NUMBER = "SELECT number FROM jobkit.jobs WHERE id = $1"
STATES = "SELECT id, state FROM jobkit.jobs WHERE id = ANY ($1::text[])"
OVERDUE = JOB + (
    "WHERE ended IS NULL AND due IS NOT NULL AND due <= (SELECT jobkit.clock()) AND placed IS NOT false "
    "ORDER BY due, number LIMIT $1"
)
WAITING_FOR_PLACES = """
    SELECT t.type, (SELECT count(*) FROM (
        SELECT FROM jobkit.jobs j
        WHERE j.type = t.type AND j.line IS NOT NULL AND j.placed = false AND j.ended IS NULL LIMIT $2
    ) w) AS waiting
    FROM unnest($1::text[]) AS t (type)
"""
# What a waiter compares to see that a job ended or progressed.
MOMENTS = "SELECT id, state, progress, message, failed FROM jobkit.jobs WHERE id = ANY ($1::text[]) ORDER BY id"
DEAD = _DEAD + "WHERE number > $1 ORDER BY number LIMIT $2"
DEAD_OF_TYPE = _DEAD + "WHERE number > $1 AND type = $3 ORDER BY number LIMIT $2"
LETTERS = _DEAD + "WHERE id = $1 ORDER BY number LIMIT $2"
DEAD_LETTER = _DEAD + "WHERE number = $1"
KEY = _KEY + "WHERE type = $1 AND key = $2"
KEYS = _KEY + "WHERE (type, key) > ($1, $2) ORDER BY type, key LIMIT $3"
LOG = (
    "SELECT position, kind, data, job_id, sequence, token, at FROM jobkit.log "
    "WHERE type = $1 AND key = $2 AND position > $3 ORDER BY position LIMIT $4"
)
RECORD = """
    SELECT g.place, (SELECT r.value FROM jobkit.records r
                     WHERE r.type = g.type AND r.key = g.key AND r.name = g.name) AS answer
    FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS g (type, key, name, place)
"""
GAPS = "SELECT type, key, expected, first, parked, reason, since FROM jobkit.gaps($1, $2, $3, $4, $5)"
GAP = "SELECT type, key, expected, first, parked, reason, since FROM jobkit.gap($1, $2, $3, $4)"
# Who counts makes one of all rows as well, so that the next has few to add up.
COUNTS = """
    SELECT coalesce(sum(scheduled), 0)::bigint AS scheduled, coalesce(sum(queued), 0)::bigint AS queued,
           coalesce(sum(running), 0)::bigint AS running, coalesce(sum(parked), 0)::bigint AS parked,
           coalesce(sum(committed), 0)::bigint AS committed, coalesce(sum(dead), 0)::bigint AS dead,
           coalesce(sum(cancelled), 0)::bigint AS cancelled,
           coalesce(sum(expired), 0)::bigint AS expired, coalesce(sum(outbox), 0)::bigint AS outbox,
           coalesce(sum(keys), 0)::bigint AS keys, coalesce(sum(shelved), 0)::bigint AS shelved,
           coalesce(sum(set_aside), 0)::bigint AS set_aside, coalesce(sum(letters), 0)::bigint AS letters,
           (SELECT jobkit.fold_tallies()) AS folded
    FROM jobkit.tallies
"""


# What is so of the jobs in a state, as the indexes need to hear it.
BY_STATE = {
    JobState.SCHEDULED: "ended IS NULL AND due IS NOT NULL",
    JobState.QUEUED: "ended IS NULL AND due IS NULL",
    JobState.RUNNING: "ended IS NULL AND due IS NULL",
    JobState.PARKED: "ended IS NULL AND due IS NULL",
    JobState.COMMITTED: "result IS NOT NULL",
    JobState.DEAD: "ended IS NOT NULL AND result IS NULL AND ended_by IS NULL",
    JobState.CANCELLED: "ended_by IS NOT NULL AND expires IS NULL",
    JobState.EXPIRED: "ended IS NOT NULL AND expires IS NOT NULL",
}


def job(row: Row) -> JobRecord:
    """Return the job in a row."""
    read = {
        "state": JobState(row["state"]),
        "failures": load_failures(row["failures"]),
        "priority": priority_in(row["priority"]),
        "tenant": tenant_in(row["tenant"]),
        "take_overs": load_take_overs(row["take_overs"] or ()),
        "trace": json.loads(row["trace"]) if row["trace"] else {},
    }
    return JobRecord(**{**row, **read})


def dead_letter(row: Row) -> DeadLetter:
    """Return the dead letter in a row."""
    return DeadLetter(**{**row, "failures": load_failures(row["failures"]), "headers": load_headers(row["headers"])})


def key(row: Row) -> KeyRecord:
    """Return the key in a row."""
    blobs = row["blobs"]
    return KeyRecord(
        type=row["type"],
        key=row["key"],
        token=row["token"],
        nonce=row["nonce"],
        owner=row["owner"],
        submitted_sequence=row["submitted"],
        committed_sequence=row["committed"],
        log_length=row["log_length"],
        log_trimmed=row["log_trimmed"],
        manifest=tuple(BlobRef(**item) for item in json.loads(blobs)) if blobs else (),
    )


def entry(row: Row) -> LoggedEntry:
    """Return the log entry in a row."""
    return LoggedEntry(**row)


def gap(row: Row) -> ParkedKey:
    """Return the key that stands still in a row."""
    return ParkedKey(**row)


def counts(row: Row) -> StoreCounts:
    """Return the tallies."""
    return StoreCounts(
        jobs={state: row[state.value] for state in JobState},
        outbox=row["outbox"],
        shelved=row["shelved"],
        parked=row["set_aside"],
        dead=row["letters"],
        keys=row["keys"],
    )
