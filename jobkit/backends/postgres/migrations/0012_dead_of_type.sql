-- The letters of one type, in order, however many there are of others.
CREATE INDEX dead_of_type ON jobkit.dead (type, number);
