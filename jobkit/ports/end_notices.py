"""What a store keeps of a job to tell of its end, where that is not a commit: then no worker is there to make it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from jobkit.model.envelope import Envelope
from jobkit.model.notice import ENDS
from jobkit.model.partition import slot_of
from jobkit.model.tags import CARRIED_AS
from jobkit.ports.rules import digest_of

# Stands in a kept envelope for when its job ended, which nobody knows yet; other text in it cannot look like that.
UNTOLD_TIME = '"submitted_at":0.0'


def dump_end_notices(envelope: Envelope, dump_trace: Callable[[Mapping[str, str]], str | None]) -> str | None:
    """Return the jobs that are to tell of other ends than a commit, as JSON, or None where there are none.

    Each has all that a server needs to accept it. `dump_trace` makes a row's column of a trace context.
    """
    if not envelope.notices:
        return None
    # Those who look for the job by its tags, or end all that have one, do not mean what tells of it.
    trace = {name: value for name, value in envelope.trace.items() if name != CARRIED_AS}
    rows = [
        {
            "state": state,
            "id": told.id,
            "type": told.type,
            "key": told.key,
            "slot": slot_of(told.key),
            "digest": digest_of(told).hex(),
            "trace": dump_trace(told.trace),
            "schema": told.schema,
            "envelope": told.pack().decode(),
        }
        for state in ENDS
        if state != "committed"
        for told in envelope.notifications(state, at=0.0, trace=trace)
    ]
    return json.dumps(rows, separators=(",", ":"), ensure_ascii=False) if rows else None


def load_end_notices(kept: str, state: str, at: float) -> Sequence[Envelope]:
    """Return the jobs in what `dump_end_notices` made that tell of an end in `state`, at the Unix time `at`."""
    return [
        Envelope.unpack(row["envelope"].replace(UNTOLD_TIME, f'"submitted_at":{at!r}', 1).encode())
        for row in json.loads(kept)
        if row["state"] == state
    ]
