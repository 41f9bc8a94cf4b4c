"""Jobs that are to run later: what the server is asked as they are due."""

from __future__ import annotations

RELEASE = "SELECT * FROM jobkit.release_due($1)"
