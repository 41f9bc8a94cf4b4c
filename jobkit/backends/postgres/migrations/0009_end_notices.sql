-- The jobs that tell of a job's end where that is not a commit, each with all that accepting it takes, as JSON.
ALTER TABLE jobkit.jobs ADD COLUMN notices text;
