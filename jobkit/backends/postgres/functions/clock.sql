-- The time.

CREATE OR REPLACE FUNCTION jobkit.clock() RETURNS double precision
LANGUAGE sql VOLATILE AS 'SELECT extract(epoch FROM clock_timestamp())::double precision';
