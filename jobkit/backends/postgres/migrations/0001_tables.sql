-- The tables of the store. All text that names something is compared byte by byte (COLLATE "C"), as everywhere else in
-- jobkit.
--
-- An envelope is kept in its job's row as it was packed, until the job has ended, beside the sequence that its job was
-- given: where both tell a sequence, the column is right. Times named *_at are for people; `made`, `ended` and
-- `touched` are for retention. All of them are the wall clock of this server, in Unix seconds: it decides how long
-- things are kept or not missed, and when a failed job is due again, and nothing else.

-- One row. `floor`: the highest mark that was forgotten. The cursor says where the next look for idle keys begins.
CREATE TABLE jobkit.retention (
    floor bigint NOT NULL DEFAULT 0,
    cursor_type text COLLATE "C" NOT NULL DEFAULT '',
    cursor_key text COLLATE "C" NOT NULL DEFAULT ''
);
INSERT INTO jobkit.retention DEFAULT VALUES;

-- By which coordinators the workers on this store go.
CREATE TABLE jobkit.coordinators (identity text COLLATE "C" PRIMARY KEY, seen double precision NOT NULL);

-- How many partitions each type has; `layout` as `Layout.pack` makes it.
CREATE TABLE jobkit.layouts (type text COLLATE "C" PRIMARY KEY, partitions integer NOT NULL, layout text NOT NULL);

-- (token, nonce) is the mark. `forgotten` is the highest sequence whose job retention removed.
CREATE TABLE jobkit.keys (
    type text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    token bigint NOT NULL,
    nonce text NOT NULL DEFAULT '',
    owner text NOT NULL DEFAULT '',
    submitted bigint NOT NULL DEFAULT 0,
    committed bigint NOT NULL DEFAULT 0,
    forgotten bigint NOT NULL DEFAULT 0,
    log_length bigint NOT NULL DEFAULT 0,
    touched double precision NOT NULL,
    PRIMARY KEY (type, key)
) WITH (fillfactor = 70);

-- One order for all that is submitted and all that is to be published.
CREATE SEQUENCE jobkit.positions;

-- `number` is the order of submission; `slot` is the CRC-32 of the key, of which a partition is the remainder. `entry`
-- is the position of its latest entry in the outbox, which may be gone. (token, nonce, owner) is the fence it was last
-- opened under. `failed` counts failures, of which `failures` holds the latest as JSON and `attempts` their numbers. A
-- job has `ended` when it is committed, dead, cancelled or expired; only a committed one has a result, and only one that was ended
-- without having run to an end has been `ended_by` somebody, for a `reason`. Since it is `settled` nobody has to act on
-- it, and it may be forgotten. A job that is scheduled has a `due`, and is to have a sequence then where it is `ordered`.
-- One that has to have begun by `expires` has that until it begins; or for good, where it never did.
-- `priority` is there where it was changed: messages of any other are no longer the job's.
-- `retry_at` is the time of its next attempt. `told` is the nonce of the latest start that a living worker has reported
-- the end of; `silent` has those of earlier ones that nobody did. Until `delayed_until` the broker may keep its message
-- back. One that was accepted under a `unique_name` holds it until it has ended where `unique_while` is 'unfinished', and until
-- it is 'begun' where that was 'queued'. One that is a `member_of` a group is counted in one of its shards.
CREATE TABLE jobkit.jobs (
    id text COLLATE "C" PRIMARY KEY,
    number bigint NOT NULL DEFAULT nextval('jobkit.positions'),
    type text COLLATE "C" NOT NULL,
    key text COLLATE "C",
    sequence bigint,
    slot bigint NOT NULL,
    digest bytea NOT NULL,
    state text NOT NULL,
    entry bigint,
    token bigint,
    nonce text,
    owner text,
    opens integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    failures text[],
    attempts integer[],
    retry_at double precision,
    told text,
    silent text[],
    progress double precision NOT NULL DEFAULT 0,
    message text NOT NULL DEFAULT '',
    result bytea,
    trace text,
    schema integer NOT NULL,
    submitted_at double precision NOT NULL,
    started_at double precision,
    finished_at double precision,
    ended double precision,
    settled double precision,
    delayed_until double precision,
    ended_by text,
    reason text,
    due double precision,
    ordered boolean,
    expires double precision,
    priority text,
    unique_name text COLLATE "C",
    unique_while text,
    member_of text COLLATE "C",
    shard smallint,
    envelope bytea
) WITH (fillfactor = 70);
-- None of the indexes mentions `state`, `token` or `progress`: so opening a job, and its progress, touch no index.
CREATE UNIQUE INDEX jobs_number ON jobkit.jobs (number);
CREATE UNIQUE INDEX jobs_unique ON jobkit.jobs (type, unique_name)
    WHERE unique_name IS NOT NULL AND ended IS NULL AND unique_while <> 'begun';
CREATE INDEX jobs_open ON jobkit.jobs (type, key, sequence) WHERE ended IS NULL;
CREATE INDEX jobs_of_type ON jobkit.jobs (type, number, slot) WHERE ended IS NULL AND due IS NULL;
CREATE INDEX jobs_due ON jobkit.jobs (due, number) WHERE ended IS NULL AND due IS NOT NULL;
CREATE INDEX jobs_scheduled ON jobkit.jobs (type, number) WHERE ended IS NULL AND due IS NOT NULL;
CREATE INDEX jobs_settled ON jobkit.jobs (settled, number) WHERE settled IS NOT NULL;
CREATE INDEX jobs_dead ON jobkit.jobs (type, key, sequence)
    WHERE ended IS NOT NULL AND result IS NULL AND ended_by IS NULL;
CREATE INDEX jobs_died ON jobkit.jobs (number) WHERE ended IS NOT NULL AND result IS NULL AND ended_by IS NULL;
CREATE INDEX jobs_given_up ON jobkit.jobs (number) WHERE ended_by IS NOT NULL AND expires IS NULL;
CREATE INDEX jobs_expiring ON jobkit.jobs (expires, number) WHERE ended IS NULL AND expires IS NOT NULL;
CREATE INDEX jobs_expired ON jobkit.jobs (number) WHERE ended IS NOT NULL AND expires IS NOT NULL;
CREATE INDEX jobs_members ON jobkit.jobs (member_of, number) WHERE member_of IS NOT NULL;

-- `id` is a job's, here and below; a job has one entry at most. `source` is the job whose commit released it.
CREATE TABLE jobkit.outbox (
    position bigint PRIMARY KEY,
    made double precision NOT NULL,
    source text COLLATE "C",
    id text COLLATE "C" NOT NULL
);
CREATE INDEX outbox_source ON jobkit.outbox (source, position) WHERE source IS NOT NULL;

CREATE TABLE jobkit.inflight (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    type text COLLATE "C" NOT NULL,
    number integer NOT NULL,
    key text COLLATE "C" NOT NULL
);
CREATE INDEX inflight_partition ON jobkit.inflight (type, number, position);
CREATE INDEX inflight_keys ON jobkit.inflight (type, number, key, position);
CREATE INDEX inflight_of_key ON jobkit.inflight (type, key, position);

CREATE TABLE jobkit.parked (
    type text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    id text COLLATE "C" NOT NULL UNIQUE,
    reason text NOT NULL,
    parked_at double precision NOT NULL,
    PRIMARY KEY (type, key, sequence, id)
);

-- `envelope` is NULL where none could be made of the message. `fingerprint` is that of letters of messages.
CREATE TABLE jobkit.dead (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C",
    type text COLLATE "C",
    key text COLLATE "C",
    sequence bigint,
    reason text NOT NULL,
    detail text NOT NULL,
    failures text[],
    raw bytea NOT NULL,
    envelope bytea,
    headers text NOT NULL DEFAULT '',
    died_at double precision NOT NULL,
    fingerprint bytea UNIQUE
);
CREATE INDEX dead_sequence ON jobkit.dead (type, key, sequence) WHERE sequence IS NOT NULL;

-- Sequences given up, by an operator or with their jobs, in ranges that neither overlap nor touch.
CREATE TABLE jobkit.skipped (
    type text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    PRIMARY KEY (type, key, first)
);

CREATE TABLE jobkit.log (
    type text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    kind text NOT NULL,
    data bytea NOT NULL,
    job_id text COLLATE "C" NOT NULL,
    sequence bigint,
    token bigint NOT NULL,
    at double precision NOT NULL,
    PRIMARY KEY (type, key, position)
);

CREATE TABLE jobkit.records (
    type text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (type, key, name)
);

CREATE TABLE jobkit.manifests (
    type text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    blobs text NOT NULL,
    PRIMARY KEY (type, key)
);

-- Counts of what there may be hundreds of thousands of, so that nobody has to count them. A count is the sum over the
-- rows. Each transaction adds a row of its own, and maintenance makes one of all now and then: so counting makes nobody
-- wait, and costs the same whatever somebody else's open snapshot keeps from being cleaned up.
CREATE TABLE jobkit.tallies (
    scheduled bigint NOT NULL,
    queued bigint NOT NULL,
    running bigint NOT NULL,
    parked bigint NOT NULL,
    committed bigint NOT NULL,
    dead bigint NOT NULL,
    purged bigint NOT NULL,
    cancelled bigint NOT NULL,
    expired bigint NOT NULL,
    outbox bigint NOT NULL,
    keys bigint NOT NULL,
    shelved bigint NOT NULL,
    set_aside bigint NOT NULL,
    letters bigint NOT NULL
);
