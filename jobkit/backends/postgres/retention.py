"""Forgetting: jobs after their time, and marks of keys that nobody uses. The server does it."""

from __future__ import annotations

PRUNE = "SELECT jobkit.prune($1, $2, $3, $4, $5, $6) AS gone"
TRIM_LOG = "SELECT jobkit.trim_log($1, $2, $3, $4, $5) AS gone"
DROP_FILES = "SELECT jobkit.drop_files($1, $2, $3) AS dropped"
