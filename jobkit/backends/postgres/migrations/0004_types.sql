-- What workers publish of the job types that they serve. The time is that of the wall clock.
CREATE TABLE jobkit.types (
    name text COLLATE "C" PRIMARY KEY,
    definition bytea NOT NULL,
    published_at double precision NOT NULL
);
