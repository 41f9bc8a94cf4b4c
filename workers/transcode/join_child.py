"""Puts the chunks of a rendition together, in a process of its own; encodes nothing.

`main` takes one argument, the name of a file of JSON: `{"target": ..., "sound": ... or null, "chunks": [...],
"pictures": [...], "digests": [...] or null}`, names of files, and of each chunk the number of its pictures and their
digest, with which the joined file is compared unless it is null. Answers with lines of JSON: `{"beat": share}` now
and then, and at the end `{"done": true}`, `{"malformed": "..."}` where the chunks do not fit together,
`{"damaged": "..."}` where what was written is not what they hold, or `{"failed": "..."}` for troubles of the machine.
"""

from __future__ import annotations

import json
from pathlib import Path

from workers.transcode.beat import Beat, say
from workers.transcode.joining import damage, join


def main(arguments: list[str]) -> int:
    """Join what the argument names."""
    order = json.loads(Path(arguments[0]).read_text())
    sound = None if order["sound"] is None else Path(order["sound"])
    target, beat = Path(order["target"]), Beat()
    try:
        join([Path(chunk) for chunk in order["chunks"]], sound, target, beat.at)
        damaged = None
        if order["digests"] is not None:
            damaged = damage(target, list(zip(order["pictures"], order["digests"], strict=True)), beat.at)
    except ValueError as error:
        say({"malformed": str(error)})
    except OSError as error:
        say({"failed": f"{error.filename or 'a chunk'}: {error.strerror}"})
    else:
        say({"done": True} if damaged is None else {"damaged": damaged})
    return 0
