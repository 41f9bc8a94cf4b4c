"""How long the files of keys are kept, where that is not until others replace them: as a processor declares it."""

from __future__ import annotations

from typing import Literal

from jobkit.model.safe_text import shown

# Until the job that the group of theirs ends in has ended: `then`, or the one that awaits it.
FileRetention = Literal["group"]


def problems_of(retention: object) -> list[str]:
    """Return what is wrong with the file retention of a declaration."""
    return [] if retention in (None, "group") else [f'file_retention must be "group" or None, not {shown(retention)}']
