-- What people have changed by hand, the latest of it.
CREATE TABLE jobkit.audit (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at double precision NOT NULL,
    by_whom text NOT NULL,
    what text NOT NULL,
    subject text NOT NULL,
    detail text NOT NULL
);
