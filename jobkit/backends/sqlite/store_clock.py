"""The store's own clock, which decides every expiry: seconds that never go back, across reboots too.

It does not tell the time of day, and no change of the wall clock moves it. It is the machine's suspend-proof clock
plus an offset kept in the database, so all processes of one machine agree on it. Processes in separate *time
namespaces* would not; do not share a database between such containers.
"""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path

from jobkit.errors import ConfigurationError

# "Last seen" is written with a transaction that writes anyway, but not more often than this. A reboot continues that
# much later, so that time never goes back although the very last moments were not noted.
TICK_SECONDS = 1.0

_LINUX_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Return what tells this boot of the machine from every other. Raises `ConfigurationError`."""
    try:
        if _LINUX_BOOT_ID.exists():
            return _LINUX_BOOT_ID.read_text().strip()
        command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigurationError(f"this machine does not tell which boot it runs: {error}") from error
    if not found:
        raise ConfigurationError("this machine does not tell which boot it runs: kern.bootsessionuuid is empty")
    return found


def offset_of_boot(connection: sqlite3.Connection, machine_now: float, boot: str) -> float:
    """Return what to add to the machine's clock in this boot; within the caller's write transaction.

    The first call after a reboot lets store time continue where it was last seen, and ends what belonged to processes
    of the earlier boot: leases, members, consumers. Token counters and marks stay.
    """
    row = connection.execute("SELECT boot_id, offset, last_seen FROM clock").fetchone()
    if row is None:
        connection.execute("INSERT INTO clock (boot_id, offset, last_seen) VALUES (?, 0.0, ?)", (boot, machine_now))
        return 0.0
    known_boot, offset, last_seen = row
    if known_boot == boot:
        return float(offset)
    offset = last_seen + TICK_SECONDS - machine_now
    connection.execute(
        "UPDATE clock SET boot_id = ?, offset = ?, last_seen = last_seen + ?", (boot, offset, TICK_SECONDS)
    )
    connection.execute("DELETE FROM leases")
    connection.execute("DELETE FROM members")
    connection.execute(
        "UPDATE queues SET epoch = epoch + 1, consumer = NULL, "
        "seen = max(seen, coalesce((SELECT max(position) FROM messages WHERE queue = queues.id), 0)) "
        "WHERE consumer IS NOT NULL"
    )
    return float(offset)


def note_time(connection: sqlite3.Connection, now: float) -> None:
    """Remember that it was `now`; within the caller's write transaction."""
    connection.execute("UPDATE clock SET last_seen = max(last_seen, ?)", (now,))
