-- What is paused: all of a type where `number` is -1 and `key` empty, else one partition or one key.
CREATE TABLE jobkit.pauses (
    type text COLLATE "C" NOT NULL,
    number integer NOT NULL,
    key text COLLATE "C" NOT NULL,
    by_whom text NOT NULL,
    reason text NOT NULL,
    since double precision NOT NULL,
    PRIMARY KEY (type, number, key)
);
