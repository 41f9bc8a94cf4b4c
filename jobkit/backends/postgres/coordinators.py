"""By which coordinators the workers on this store go: more than one is a mistake that no lease can show."""

from __future__ import annotations

NOTE = "SELECT jobkit.note_coordinator($1, $2)"
NOTED = "SELECT identity FROM jobkit.coordinators WHERE seen >= jobkit.clock() - $1 ORDER BY identity"
