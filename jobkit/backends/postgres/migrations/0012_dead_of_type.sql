-- The letters of one type, in order, and those of one job, however many there are of others.
CREATE INDEX dead_of_type ON jobkit.dead (type, number);
CREATE INDEX dead_of_job ON jobkit.dead (id, number) WHERE id IS NOT NULL;
