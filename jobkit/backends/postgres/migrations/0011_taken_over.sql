-- Who had those attempts at a job that another worker took over. Some databases have had it since their first step.
ALTER TABLE jobkit.jobs ADD COLUMN IF NOT EXISTS taken_over text[];
