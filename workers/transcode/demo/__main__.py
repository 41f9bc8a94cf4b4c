"""The demo: workers share a long video, one is killed, one paused until it is too late, and all commits exactly once.

It is no test of jobkit and uses none of its insides: it runs the `jobkit` command in processes of their own, as a
user would, and judges by what that prints. Run it from the project's folder: `python -m workers.transcode.demo`.
All it makes lies in `demo-out/`, which each run starts afresh, and in the backends that `--env-file` names.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.text import Text

from workers.transcode.demo.clips import CLIPS
from workers.transcode.demo.processes import DemoFailed, Jobkit
from workers.transcode.demo.run import ENV_FILE, Demo
from workers.transcode.demo.screen import Screen


def main(arguments: list[str] | None = None) -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers.transcode.demo", description=__doc__)
    parser.add_argument(
        "--env-file", type=Path, action="append", default=[], help=f"read after {ENV_FILE}: on which backends to run"
    )
    env_files: list[Path] = parser.parse_args(arguments).env_file
    # The environment wins over all files, and a user's own may name a database that is no playground.
    for name in [name for name in os.environ if name.startswith("JOBKIT_") and name != "JOBKIT_TRANSCODE_FFMPEG"]:
        del os.environ[name]
    # Ctrl-C raises by itself; a demo that is told to end by other means leaves no workers behind, either.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    screen = Screen()
    try:
        Demo(screen, Jobkit([ENV_FILE, *env_files])).run()
    except DemoFailed as error:
        screen.console.print(Text(f"\nFAILED: {error}", "bold red"))
        return 1
    except KeyboardInterrupt:
        screen.console.print("interrupted; the workers were ended")
        return 130
    screen.console.print()
    though = "though one worker was killed, and one came back too late"
    screen.say(f"OK: {len(CLIPS)} videos, each committed exactly once, {though}.", "bold green")
    return 0


def _interrupt(number: int, _: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(signal.Signals(number).name)


if __name__ == "__main__":
    sys.exit(main())
