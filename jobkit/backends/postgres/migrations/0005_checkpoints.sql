-- What jobs keep of their work, until they end or their letters are purged. `step` is empty for a checkpoint; `at` is for
-- people. `blobs` is empty where there are none.
CREATE TABLE jobkit.checkpoints (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL,
    step text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    type text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    value bytea NOT NULL,
    blobs text NOT NULL,
    at double precision NOT NULL,
    UNIQUE (id, step)
) WITH (fillfactor = 70);
CREATE INDEX checkpoints_files ON jobkit.checkpoints (type, key, number) WHERE blobs <> '';

-- Of a job that is `saved` something is kept there.
ALTER TABLE jobkit.jobs ADD COLUMN saved boolean;
