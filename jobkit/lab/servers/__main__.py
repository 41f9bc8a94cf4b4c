"""`make servers`: the servers that an env file names run on this machine until Ctrl-C, and then all of it is gone.

They are for trying jobkit out on RabbitMQ, Redis and PostgreSQL. Nothing that matters belongs on them.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from subprocess import CalledProcessError
from types import FrameType
from typing import NoReturn

from jobkit.errors import JobkitError
from jobkit.lab.servers.local import Running, running_servers, wanted_servers

ENV_FILE = Path("configs/local-servers.env")
# How soon it is noticed that a server ended by itself.
_LOOK_SECONDS = 1.0
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ServerEnded(Exception):
    """A server exited unexpectedly."""


def main(arguments: list[str] | None = None) -> int:
    """Run the servers until told to end, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m jobkit.lab.servers", description=__doc__)
    parser.add_argument(
        "--env-file", type=Path, default=ENV_FILE, help="start what the URLs in this file name (%(default)s)"
    )
    env_file: Path = parser.parse_args(arguments).env_file
    for number in _ENDING:
        signal.signal(number, _interrupt)
    directory = Path(tempfile.mkdtemp(prefix="jobkit-servers-"))
    # PostgreSQL refuses to run as root; whoever it runs as has to get to its own directory in here.
    directory.chmod(0o711)
    started = time.monotonic()
    try:
        with running_servers(wanted_servers(env_file), directory, _say) as servers:
            _say(f"ready after {time.monotonic() - started:.0f} s")
            _describe(servers, env_file, directory)
            _watch(servers)
    except KeyboardInterrupt:
        _say("the servers have ended, and their data is gone")
    except JobkitError as error:
        _say(f"error: {error}")
        shutil.rmtree(directory)
        return 2
    except (ServerEnded, RuntimeError, CalledProcessError) as error:
        _say(f"error: {error}\nAll have ended; what they left is in {directory}")
        return 1
    shutil.rmtree(directory)
    return 0


def _describe(servers: list[Running], env_file: Path, directory: Path) -> None:
    print()
    for server in servers:
        print(f"  {' and '.join(server.wanted.planes):<22} {server.name:<11} {server.wanted.url}")
    print(f"\nWhat they keep is in {directory}, and goes with them. Ctrl-C ends them. Until then, elsewhere:\n")
    print(f"  make demo ENV={env_file}", flush=True)


def _watch(servers: list[Running]) -> NoReturn:
    while True:
        for server in servers:
            if not server.is_running():
                raise ServerEnded(f"{server.name} on port {server.wanted.port} ended by itself")
        time.sleep(_LOOK_SECONDS)


def _interrupt(number: int, _: FrameType | None) -> NoReturn:
    # Whoever presses Ctrl-C twice must not disturb the tidying up.
    for ending in _ENDING:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt(signal.Signals(number).name)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
