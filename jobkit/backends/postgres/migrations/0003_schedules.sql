-- Schedules. The times are those of the wall clock: when somebody is to look next, and when somebody wanted it last.
CREATE TABLE jobkit.schedules (
    name text COLLATE "C" PRIMARY KEY,
    type text COLLATE "C" NOT NULL,
    definition bytea NOT NULL,
    revision bigint NOT NULL,
    due double precision,
    seen double precision NOT NULL
);
CREATE INDEX schedules_due ON jobkit.schedules (due, name) WHERE due IS NOT NULL;
