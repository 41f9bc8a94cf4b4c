"""`jobkit exporter`: a page of what there is to do, from a process that runs no jobs and ends when it is told to."""

from __future__ import annotations

import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cli.conftest import Shell
from tests.cli.world import COMMAND, World, environment


@contextmanager
def exporting(*words: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run the exporter on a port of its own choice; lend the process and the port."""
    process = subprocess.Popen([*COMMAND, "exporter", "--port", "0", *words], env=environment(), stderr=-1, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"health endpoint.*?port[\"=: ]+(\d+)", line):
                yield process, int(found[1])
                return
        raise AssertionError("it has ended without a page")
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def page(port: int, path: str = "metrics") -> str:
    """Return a page, or nothing where nobody answers yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def test_it_shows_what_waits_while_no_worker_lives_and_ends_when_it_is_told(shell: Shell, world: World) -> None:
    for about in ("tea", "milk"):
        assert shell("submit", "note", "--payload", f'{{"about": "{about}"}}').exit_code == 0
    with exporting("note") as (process, port):
        while 'jobkit_queue_depth{type="note"}' not in (shown := page(port)):
            assert process.poll() is None
            time.sleep(0.05)
        assert 'jobkit_queue_depth{type="note"} 2.0' in shown
        assert 'jobkit_queue_running{type="note"} 0.0' in shown
        assert 'jobkit_queue_age_seconds{type="note"}' in shown
        assert '"queues_measured":true' in page(port, "ready")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_without_a_port_it_says_what_is_missing(shell: Shell, world: World) -> None:
    result = shell("exporter")
    assert result.exit_code == 2
    assert "JOBKIT_HEALTH_PORT" in result.stderr
