-- A tenant's job waits in a `line` (its priority, a space, the tenant), where so many `places` are; it is `placed`, or waits for
-- that (false), or neither as long as it has a `due` of its own. Of those that wait the first one's `due` is when its line is
-- looked at anew.
ALTER TABLE jobkit.jobs ADD COLUMN line text COLLATE "C", ADD COLUMN places integer, ADD COLUMN placed boolean;
CREATE INDEX jobs_lines ON jobkit.jobs (type, line, placed, number) WHERE ended IS NULL AND line IS NOT NULL;
