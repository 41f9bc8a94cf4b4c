"""Puts the chunks of a rendition together, in a process of its own; encodes nothing.

`main` takes one argument, JSON: `{"target": ..., "chunks": [...], "sound": ... or null}`, names of files. Answers with
lines of JSON: `{"beat": share}` now and then, and at the end `{"done": true}`, `{"malformed": "..."}` where the chunks
do not fit together, or `{"failed": "..."}` for troubles of the machine.
"""

from __future__ import annotations

import json
from pathlib import Path

from workers.transcode.beat import Beat, say
from workers.transcode.joining import join


def main(arguments: list[str]) -> int:
    """Join what the argument names."""
    order = json.loads(arguments[0])
    sound = None if order["sound"] is None else Path(order["sound"])
    try:
        join([Path(chunk) for chunk in order["chunks"]], sound, Path(order["target"]), Beat().at)
    except ValueError as error:
        say({"malformed": str(error)})
    except OSError as error:
        say({"failed": f"{error.filename or 'a chunk'}: {error.strerror}"})
    else:
        say({"done": True})
    return 0
