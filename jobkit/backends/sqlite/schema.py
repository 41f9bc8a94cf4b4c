"""The tables of all three planes, and how a database file comes to have them.

Each plane uses its own tables only, so that any of them may live in a file of its own; every file gets all tables.
Text that names keys and ids is compared byte by byte (SQLite's BINARY), like everywhere else in jobkit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from jobkit.errors import ConfigurationError

# Raised with every change of what is below: files of another version are refused.
VERSION = 3
# "jobk": tells this program's files from other SQLite databases.
APPLICATION_ID = 0x6A6F626B

_CLOCK = ["CREATE TABLE clock (boot_id TEXT NOT NULL, offset REAL NOT NULL, last_seen REAL NOT NULL)"]

_BROKER = [
    # `epoch` counts consumers; only the latest may act. `seen` is the highest position an earlier one may have got.
    # One that is `removed` is not shown. `ready` and `delayed` count its messages, so that nobody else has to.
    """CREATE TABLE queues (
        id INTEGER PRIMARY KEY, type TEXT NOT NULL, number INTEGER NOT NULL,
        epoch INTEGER NOT NULL DEFAULT 0, consumer TEXT, seen INTEGER NOT NULL DEFAULT 0,
        removed INTEGER NOT NULL DEFAULT 0, priority TEXT NOT NULL DEFAULT 'normal',
        ready INTEGER NOT NULL DEFAULT 0, delayed INTEGER NOT NULL DEFAULT 0,
        UNIQUE (type, number, priority))""",
    # AUTOINCREMENT: a consumer's cursor relies on positions that are never used again.
    """CREATE TABLE messages (
        position INTEGER PRIMARY KEY AUTOINCREMENT, queue INTEGER NOT NULL, due REAL, body BLOB NOT NULL)""",
    "CREATE INDEX messages_ready ON messages (queue) WHERE due IS NULL",
    "CREATE INDEX messages_due ON messages (queue, due) WHERE due IS NOT NULL",
    """CREATE TRIGGER count_message AFTER INSERT ON messages BEGIN UPDATE queues
        SET ready = ready + (new.due IS NULL), delayed = delayed + (new.due IS NOT NULL) WHERE id = new.queue; END""",
    """CREATE TRIGGER count_message_gone AFTER DELETE ON messages BEGIN UPDATE queues
        SET ready = ready - (old.due IS NULL), delayed = delayed - (old.due IS NOT NULL) WHERE id = old.queue; END""",
    """CREATE TRIGGER count_message_delayed AFTER UPDATE OF due ON messages
        WHEN (old.due IS NULL) <> (new.due IS NULL) BEGIN UPDATE queues
        SET ready = ready + (new.due IS NULL) - (old.due IS NULL),
        delayed = delayed + (old.due IS NULL) - (new.due IS NULL) WHERE id = new.queue; END""",
]

_COORDINATOR = [
    # One counter for all resources: none has to be kept for a resource that is idle, and none can ever fall.
    "CREATE TABLE tokens (highest INTEGER NOT NULL)",
    "INSERT INTO tokens (highest) VALUES (0)",
    """CREATE TABLE leases (
        resource TEXT PRIMARY KEY, owner TEXT NOT NULL, token INTEGER NOT NULL, nonce TEXT NOT NULL,
        expires REAL NOT NULL, limits TEXT) WITHOUT ROWID""",
    # `holder` is the resource of the lease that has it, or the nonce of the claim that began; as in `leases.limits`.
    """CREATE TABLE limit_uses (
        bucket TEXT NOT NULL, holder TEXT NOT NULL, expires REAL NOT NULL,
        PRIMARY KEY (bucket, holder)) WITHOUT ROWID""",
    # As whoever asked last declared them.
    "CREATE TABLE limits (bucket TEXT PRIMARY KEY, count INTEGER NOT NULL, per REAL) WITHOUT ROWID",
    "CREATE TABLE waiting (owner TEXT PRIMARY KEY, told TEXT NOT NULL, expires REAL NOT NULL) WITHOUT ROWID",
    "CREATE TABLE members (owner TEXT PRIMARY KEY, types TEXT NOT NULL, latency REAL NOT NULL, expires REAL NOT NULL, "
    "dismissed INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID",
    # Which partitions people asked a member to lead.
    "CREATE TABLE assigned (type TEXT, partition INTEGER, owner TEXT NOT NULL, PRIMARY KEY (type, partition)) "
    "WITHOUT ROWID",
    # Nobody changes it: another file is another coordinator.
    "CREATE TABLE coordinator (identity TEXT NOT NULL)",
    "INSERT INTO coordinator (identity) VALUES (lower(hex(randomblob(8))))",
]

_STORE = [
    # `floor`: the highest mark that was forgotten. The cursor says where the next look for idle keys begins.
    "CREATE TABLE retention (floor INTEGER NOT NULL, cursor_type TEXT NOT NULL, cursor_key TEXT NOT NULL)",
    "INSERT INTO retention (floor, cursor_type, cursor_key) VALUES (0, '', '')",
    # (token, nonce) is the mark. `forgotten` is the highest sequence whose job retention removed.
    # `touched` is store time, for retention. `log_trimmed` entries of its log were dropped.
    """CREATE TABLE keys (
        type TEXT NOT NULL, key TEXT NOT NULL, token INTEGER NOT NULL DEFAULT 0, nonce TEXT NOT NULL DEFAULT '',
        owner TEXT NOT NULL DEFAULT '', submitted INTEGER NOT NULL DEFAULT 0, committed INTEGER NOT NULL DEFAULT 0,
        forgotten INTEGER NOT NULL DEFAULT 0, log_length INTEGER NOT NULL DEFAULT 0, touched REAL NOT NULL,
        log_trimmed INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (type, key)) WITHOUT ROWID""",
    # `number` is the order of submission; `slot` is the CRC-32 of the key, of which a partition is the remainder.
    # `entry` is the position of its latest entry in the outbox, which may be gone. (token, nonce, owner) is the fence
    # it was last opened under. `failed` counts failures, of which `failures` holds the latest. `ended` is store time,
    # and so is `settled`: since then nobody has to act on it, and it may be forgotten. The *_at columns are for people,
    # and so are `ended_by` and `reason`, which a job has that was ended without having run to an end. A job that is
    # scheduled has a `due`, by the wall clock, and is to have a sequence then where it is `ordered`. One that has to
    # have begun by `expires`, by the wall clock, has that until it begins; or for good, where it never did.
    # `priority` is there where it was changed: messages of any other are no longer the job's.
    # `retry_at` is the store time of its next attempt. `told` is the nonce of the latest start that a living worker has
    # reported the end of; `silent` has those of earlier ones that nobody did, each with a space behind it;
    # `taken_over` is a line for each take-over. Until
    # `delayed_until` the broker may keep its message back. One that was accepted under a `unique_name` holds it until
    # it has ended where `unique_while` is 'unfinished', and until it is 'begun' where that was 'queued'. It is `saved`
    # where something is in `checkpoints`, and may be a `member_of` a group. A tenant's job waits in a `line` (its
    # priority, a space, the tenant), where so many `places` are; it is `placed`, or waits for that (0), or neither as
    # long as it has a `due` of its own. `notices` are the jobs that tell of its end where that is not a commit.
    """CREATE TABLE jobs (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, key TEXT, sequence INTEGER,
        slot INTEGER NOT NULL, digest BLOB NOT NULL, state TEXT NOT NULL, entry INTEGER,
        token INTEGER, nonce TEXT, owner TEXT,
        opens INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, failures TEXT, retry_at REAL,
        told TEXT, silent TEXT NOT NULL DEFAULT '', taken_over TEXT,
        progress REAL NOT NULL DEFAULT 0, message TEXT NOT NULL DEFAULT '', result BLOB, trace TEXT,
        schema INTEGER NOT NULL, submitted_at REAL NOT NULL, started_at REAL, finished_at REAL,
        ended REAL, settled REAL, ended_by TEXT, reason TEXT, due REAL, ordered INTEGER, delayed_until REAL,
        expires REAL, unique_name TEXT, unique_while TEXT, priority TEXT, saved INTEGER, member_of TEXT,
        line TEXT, places INTEGER, placed INTEGER, notices TEXT)""",
    # None of them mentions what changes as a job is opened or progresses.
    "CREATE INDEX jobs_open ON jobs (type, key, sequence) WHERE ended IS NULL",
    "CREATE INDEX jobs_of_type ON jobs (type, number, slot) WHERE ended IS NULL AND due IS NULL",
    "CREATE INDEX jobs_due ON jobs (due, number) WHERE ended IS NULL AND due IS NOT NULL",
    "CREATE INDEX jobs_scheduled ON jobs (type, number) WHERE ended IS NULL AND due IS NOT NULL",
    "CREATE INDEX jobs_dead ON jobs (type, key, sequence) WHERE state = 'dead'",
    "CREATE INDEX jobs_died ON jobs (number) WHERE state = 'dead'",
    "CREATE INDEX jobs_given_up ON jobs (number) WHERE ended_by IS NOT NULL AND expires IS NULL",
    "CREATE INDEX jobs_expiring ON jobs (expires, number) WHERE ended IS NULL AND expires IS NOT NULL",
    "CREATE INDEX jobs_expired ON jobs (number) WHERE ended IS NOT NULL AND expires IS NOT NULL",
    "CREATE INDEX jobs_settled ON jobs (settled) WHERE settled IS NOT NULL",
    # But this one, for jobs that have a name.
    "CREATE UNIQUE INDEX jobs_unique ON jobs (type, unique_name) "
    "WHERE unique_name IS NOT NULL AND ended IS NULL AND unique_while <> 'begun'",
    "CREATE INDEX jobs_lines ON jobs (type, line, placed, number) WHERE ended IS NULL AND line IS NOT NULL",
    "CREATE INDEX jobs_members ON jobs (member_of, number) WHERE member_of IS NOT NULL",
    # Groups, by the id of the job that runs in the end. `undeclared` members have yet to be accepted. Where they are
    # `held` until all are, those up to number `released_to` were released, as long as there are some `to_release`. Then
    # come counts of members, `unended` ones first, those undeclared among them. `settled`: that job was released, or
    # died. `touched` is store time.
    """CREATE TABLE job_groups (
        id TEXT PRIMARY KEY, parent TEXT, on_failure TEXT NOT NULL, held INTEGER NOT NULL, members INTEGER NOT NULL,
        to_release INTEGER NOT NULL, undeclared INTEGER NOT NULL,
        unended INTEGER NOT NULL, committed INTEGER NOT NULL DEFAULT 0, dead INTEGER NOT NULL DEFAULT 0,
        purged INTEGER NOT NULL DEFAULT 0, cancelled INTEGER NOT NULL DEFAULT 0, expired INTEGER NOT NULL DEFAULT 0,
        settled INTEGER NOT NULL DEFAULT 0, abandoned INTEGER NOT NULL DEFAULT 0,
        released_to INTEGER NOT NULL DEFAULT 0, touched REAL NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX job_groups_parent ON job_groups (parent, id) WHERE parent IS NOT NULL",
    "CREATE INDEX job_groups_undeclared ON job_groups (touched) WHERE undeclared > 0",
    "CREATE INDEX job_groups_held ON job_groups (id) WHERE to_release AND undeclared = 0",
    # By the job's number, until it has ended. Apart from the job's row, which is written anew as the job goes its way.
    "CREATE TABLE envelopes (job INTEGER PRIMARY KEY, envelope BLOB NOT NULL)",
    # `job` is a number, here and below. `made` is store time. `source` is the job whose commit released the entry, or
    # empty: see `outbox.UNTOLD`.
    """CREATE TABLE outbox (
        position INTEGER PRIMARY KEY AUTOINCREMENT, made REAL NOT NULL, source TEXT, job INTEGER NOT NULL)""",
    "CREATE INDEX outbox_source ON outbox (source, position) WHERE source IS NOT NULL",
    """CREATE TABLE inflight (
        position INTEGER PRIMARY KEY AUTOINCREMENT, job INTEGER NOT NULL UNIQUE, type TEXT NOT NULL,
        number INTEGER NOT NULL, key TEXT NOT NULL)""",
    "CREATE INDEX inflight_partition ON inflight (type, number)",
    "CREATE INDEX inflight_keys ON inflight (type, number, key)",
    "CREATE INDEX inflight_of_key ON inflight (type, key)",
    """CREATE TABLE parked (
        type TEXT NOT NULL, key TEXT NOT NULL, sequence INTEGER NOT NULL, job INTEGER NOT NULL UNIQUE,
        reason TEXT NOT NULL, parked_at REAL NOT NULL,
        PRIMARY KEY (type, key, sequence, job)) WITHOUT ROWID""",
    # `envelope` is NULL where none could be made of the message. `fingerprint` is that of letters of messages.
    """CREATE TABLE dead (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT, type TEXT, key TEXT, sequence INTEGER,
        reason TEXT NOT NULL, detail TEXT NOT NULL, failures TEXT, raw BLOB NOT NULL, envelope BLOB,
        headers TEXT NOT NULL DEFAULT '', died_at REAL NOT NULL, fingerprint BLOB UNIQUE)""",
    "CREATE INDEX dead_sequence ON dead (type, key, sequence) WHERE sequence IS NOT NULL",
    "CREATE INDEX dead_of_type ON dead (type, number)",
    "CREATE INDEX dead_of_job ON dead (id, number) WHERE id IS NOT NULL",
    # Sequences given up, by an operator or with their jobs, in ranges that neither overlap nor touch.
    """CREATE TABLE skipped (
        type TEXT NOT NULL, key TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
        PRIMARY KEY (type, key, first)) WITHOUT ROWID""",
    """CREATE TABLE log (
        type TEXT NOT NULL, key TEXT NOT NULL, position INTEGER NOT NULL, kind TEXT NOT NULL, data BLOB NOT NULL,
        job_id TEXT NOT NULL, sequence INTEGER, token INTEGER NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (type, key, position)) WITHOUT ROWID""",
    """CREATE TABLE records (
        type TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL,
        PRIMARY KEY (type, key, name)) WITHOUT ROWID""",
    "CREATE TABLE manifests (type TEXT, key TEXT, blobs TEXT NOT NULL, PRIMARY KEY (type, key)) WITHOUT ROWID",
    # `layout` as `Layout.pack` makes it.
    "CREATE TABLE layouts (type TEXT PRIMARY KEY, partitions INTEGER NOT NULL, layout TEXT NOT NULL) WITHOUT ROWID",
    # What jobs keep of their work, until they end or their letters are purged. `step` is empty for a checkpoint; `at`
    # is for people. `blobs` is empty where there are none.
    """CREATE TABLE checkpoints (
        number INTEGER PRIMARY KEY, job INTEGER NOT NULL, step TEXT NOT NULL, version INTEGER NOT NULL,
        type TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, blobs TEXT NOT NULL, at REAL NOT NULL,
        UNIQUE (job, step))""",
    "CREATE INDEX checkpoints_files ON checkpoints (type, key, number) WHERE blobs <> ''",
    # By which coordinators workers go; `seen` is store time.
    "CREATE TABLE coordinators (identity TEXT PRIMARY KEY, seen REAL NOT NULL) WITHOUT ROWID",
    # Times by the wall clock: when somebody is to look next, and when somebody wanted it last.
    """CREATE TABLE schedules (
        name TEXT PRIMARY KEY, type TEXT NOT NULL, definition BLOB NOT NULL, revision INTEGER NOT NULL, due REAL,
        seen REAL NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX schedules_due ON schedules (due, name) WHERE due IS NOT NULL",
    # What workers publish of the types that they serve; the time is by the wall clock.
    "CREATE TABLE published_types (name TEXT PRIMARY KEY, definition BLOB NOT NULL, published_at REAL NOT NULL) "
    "WITHOUT ROWID",
    # What is paused: all of a type where `number` is -1 and `key` empty, else one partition or one key.
    """CREATE TABLE pauses (
        type TEXT NOT NULL, number INTEGER NOT NULL, key TEXT NOT NULL, by_whom TEXT NOT NULL, reason TEXT NOT NULL,
        since REAL NOT NULL, PRIMARY KEY (type, number, key)) WITHOUT ROWID""",
    # What people have changed by hand, the latest of it; `at` is wall time.
    """CREATE TABLE audit (
        number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, by_whom TEXT NOT NULL, what TEXT NOT NULL,
        subject TEXT NOT NULL, detail TEXT NOT NULL)""",
    "CREATE TABLE tallies (name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID",
]


_COUNTED_TABLES = ("keys", "outbox", "inflight", "parked", "dead")
_COUNTED_STATES = ("scheduled", "queued", "running", "parked", "committed", "dead", "cancelled", "expired")


def _tallies() -> Iterator[str]:
    """Keep counts as rows come and go, so that nobody has to count hundreds of thousands of them."""
    for name in (*_COUNTED_TABLES, "purged", *(f"state {state}" for state in _COUNTED_STATES)):
        yield f"INSERT INTO tallies (name, n) VALUES ('{name}', 0)"  # noqa: S608  (names from above, here and below)
    for event, row, step in (("INSERT", "new", "+ 1"), ("DELETE", "old", "- 1")):
        names = [(table, f"'{table}'") for table in _COUNTED_TABLES] + [("jobs", f"'state ' || {row}.state")]
        for table, name in names:
            yield (
                f"CREATE TRIGGER tally_{table}_{event} AFTER {event} ON {table} BEGIN "  # noqa: S608
                f"UPDATE tallies SET n = n {step} WHERE name = {name}; END"
            )
    yield (
        "CREATE TRIGGER tally_jobs_state AFTER UPDATE OF state ON jobs WHEN old.state <> new.state BEGIN "
        "UPDATE tallies SET n = n - 1 WHERE name = 'state ' || old.state; "
        "UPDATE tallies SET n = n + 1 WHERE name = 'state ' || new.state; END"
    )
    # Dead jobs that nobody has to act on any more.
    yield (
        "CREATE TRIGGER tally_jobs_purged AFTER UPDATE OF settled ON jobs "
        "WHEN new.state = 'dead' AND old.settled IS NULL AND new.settled IS NOT NULL BEGIN "
        "UPDATE tallies SET n = n + 1 WHERE name = 'purged'; END"
    )
    yield (
        "CREATE TRIGGER tally_jobs_forgotten AFTER DELETE ON jobs "
        "WHEN old.state = 'dead' AND old.settled IS NOT NULL BEGIN "
        "UPDATE tallies SET n = n - 1 WHERE name = 'purged'; END"
    )


def ensure_schema(connection: sqlite3.Connection, path: str) -> None:
    """Make the tables, or check those there are; within the caller's write transaction.

    Raises `ConfigurationError` where the file belongs to something else or to a newer jobkit.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if version == VERSION and application == APPLICATION_ID:
        return
    if application == APPLICATION_ID:
        raise ConfigurationError(
            f"{path} was written by another version of jobkit (schema {version}, this one knows {VERSION}): "
            "use that version, or choose another file"
        )
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
        raise ConfigurationError(f"{path} is a database of some other program: choose another file")
    for statement in [*_CLOCK, *_BROKER, *_COORDINATOR, *_STORE, *_tallies()]:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
