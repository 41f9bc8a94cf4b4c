-- So many of the first entries of a key's log were dropped, because its type does not keep them for ever.
ALTER TABLE jobkit.keys ADD COLUMN log_trimmed bigint NOT NULL DEFAULT 0;
