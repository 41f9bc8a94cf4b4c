-- Groups of jobs, by the id of the job that closes one. `undeclared` members have yet to be accepted; where it is `held`, its
-- members are released once all are; as long as there are some `to_release`, those up to number `released_to` were. `open_shards` have members to wait for.
CREATE TABLE jobkit.job_groups (
    id text COLLATE "C" PRIMARY KEY,
    parent text COLLATE "C",
    on_failure text NOT NULL,
    members integer NOT NULL,
    held boolean NOT NULL,
    to_release boolean NOT NULL,
    undeclared integer NOT NULL,
    shards integer NOT NULL,
    open_shards integer NOT NULL,
    settled boolean NOT NULL DEFAULT false,
    abandoned boolean NOT NULL DEFAULT false,
    released_to bigint NOT NULL DEFAULT 0,
    touched double precision NOT NULL
);
CREATE INDEX job_groups_parent ON jobkit.job_groups (parent, id) WHERE parent IS NOT NULL;
CREATE INDEX job_groups_undeclared ON jobkit.job_groups (touched) WHERE undeclared > 0;
CREATE INDEX job_groups_held ON jobkit.job_groups (id) WHERE to_release AND undeclared = 0;
-- Counts of a group's members, those undeclared among the unended ones; its shards add up. `waits`: dead ones are waited for.
CREATE TABLE jobkit.job_group_counts (
    id text COLLATE "C" NOT NULL,
    shard integer NOT NULL,
    waits boolean NOT NULL,
    unended integer NOT NULL,
    committed integer NOT NULL DEFAULT 0,
    dead integer NOT NULL DEFAULT 0,
    purged integer NOT NULL DEFAULT 0,
    cancelled integer NOT NULL DEFAULT 0,
    expired integer NOT NULL DEFAULT 0,
    PRIMARY KEY (id, shard)
) WITH (fillfactor = 10);
