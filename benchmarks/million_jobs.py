"""A store with a great many jobs, written as its tables are: submitting and doing them would take hours."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import asyncpg
import redis.asyncio

from jobkit.backends.redis.scripts import PREFIX
from jobkit.model.envelope import Envelope
from jobkit.ports.inspection import JobState
from jobkit.ports.planes import Planes
from jobkit.settings import Settings

TYPES = ("upload", "transcode", "mail")
RARE = "rare"
WORKER = "host:1:abc"
# Of all jobs so many have ended; then come those that run, and then those that wait.
_ENDED = 0.65
RUNNING = 8
_KEYS = 100_000
_BEGAN = 1_700_000_000.0
_AT_ONCE = 5_000
_FAILURE = {
    "attempt": 1,
    "error": "OSError: no room on disk",
    "traceback": "Traceback (most recent call last):\n" + '  File "worker.py", line 7, in run\n' * 12,
    "owner": WORKER,
    "token": 1,
    "at": _BEGAN,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One job."""

    number: int
    id: str
    type: str
    key: str
    state: JobState

    @property
    def at(self) -> float:
        """When it was submitted."""
        return _BEGAN + self.number / 10

    @property
    def envelope(self) -> bytes:
        """It as it was packed."""
        body = json.dumps({"about": self.key}).encode()
        return Envelope(id=self.id, type=self.type, key=self.key, body=body, sequence=None, submitted_at=self.at).pack()

    @property
    def ended(self) -> float | None:
        """When it ended."""
        return self.at + 5 if self.state.ended else None


def rows(count: int) -> Iterator[Row]:
    """Yield the jobs, the first submitted first."""
    for number in range(1, count + 1):
        type = RARE if number % 50_000 == 7 else TYPES[number % len(TYPES)]
        yield Row(number, f"job-{number:07}", type, f"k{number % _KEYS}", _state(number, int(count * _ENDED)))


def _state(number: int, ended: int) -> JobState:
    if number < ended:
        of_hundred = number % 100
        return JobState.DEAD if of_hundred < 5 else JobState.CANCELLED if of_hundred < 7 else JobState.COMMITTED
    if number < ended + RUNNING:
        return JobState.RUNNING
    return JobState.SCHEDULED if number % 50 == 0 else JobState.QUEUED


async def fill(planes: Planes, settings: Settings, store: str, count: int) -> None:
    """Write the jobs, and what else the planes would have of them."""
    url = settings.store_url.get_secret_value()
    if store == "sqlite":
        _fill_sqlite(url.removeprefix("sqlite:///"), count)
    elif store == "postgres":
        await _fill_postgres(url, count)
    else:
        await _fill_redis(url, count)
    for row in islice(rows(count), int(count * _ENDED) - 1, int(count * _ENDED) - 1 + RUNNING):
        await planes.coordinator.claim(f"{row.type}/{row.key}", owner=WORKER, nonce=row.id, ttl=3_600)
    for type in TYPES:
        await planes.broker.declare(type, settings.partitions)


def _pages(count: int) -> Iterator[list[Row]]:
    found = rows(count)
    while page := list(islice(found, _AT_ONCE)):
        yield page


_COLUMNS = (
    "number, id, type, key, slot, digest, state, token, owner, opens, failures, result, schema, submitted_at, "
    "started_at, finished_at, ended, settled, ended_by, reason, due"
)


def _columns(row: Row, failures: Any) -> tuple[Any, ...]:
    began = row.state in (JobState.RUNNING, JobState.COMMITTED, JobState.DEAD)
    dead, cancelled = row.state is JobState.DEAD, row.state is JobState.CANCELLED
    return (
        *(row.number, row.id, row.type, row.key, row.number % 8, b"digest", row.state.value),
        *(7 if began else None, WORKER if began else None, int(began), failures if dead else None),
        *(b'{"seconds": 12}' if row.state is JobState.COMMITTED else None, 1, row.at, row.at + 1 if began else None),
        *(row.ended, row.ended, None if dead else row.ended, "ann" if cancelled else None),
        *("too many attempts" if dead else None, 4e9 if row.state is JobState.SCHEDULED else None),
    )


def _fill_sqlite(path: str, count: int) -> None:
    connection = sqlite3.connect(path)
    marks = ", ".join("?" * len(_COLUMNS.split(",")))
    failure = json.dumps(_FAILURE)
    with connection:
        for page in _pages(count):
            connection.executemany(
                f"INSERT INTO jobs ({_COLUMNS}) VALUES ({marks})",  # noqa: S608  (names from above)
                [_columns(row, failure) for row in page],
            )
            open_ones = [(row.number, row.envelope) for row in page if not row.state.ended]
            connection.executemany("INSERT INTO envelopes VALUES (?, ?)", open_ones)
            connection.executemany(
                "INSERT INTO dead (id, type, key, reason, detail, failures, raw, died_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(*_letter(row), failure, row.envelope, row.ended) for row in page if row.state is JobState.DEAD],
            )
    connection.close()


def _letter(row: Row) -> tuple[str, ...]:
    return row.id, row.type, row.key, "too many attempts", "Traceback ..."


async def _fill_postgres(url: str, count: int) -> None:
    connection = await asyncpg.connect(url)
    failures = [json.dumps(_FAILURE)]
    counted = dict.fromkeys(JobState, 0)
    for page in _pages(count):
        for row in page:
            counted[row.state] += 1
        records = [(*_columns(row, failures), None if row.state.ended else row.envelope) for row in page]
        names = [*_COLUMNS.split(", "), "envelope"]
        await connection.copy_records_to_table("jobs", records=records, columns=names, schema_name="jobkit")
        letters = [(*_letter(row), failures, row.envelope, row.ended) for row in page if row.state is JobState.DEAD]
        names = ["id", "type", "key", "reason", "detail", "failures", "raw", "died_at"]
        await connection.copy_records_to_table("dead", records=letters, columns=names, schema_name="jobkit")
    states = ", ".join(f"{state.value} = {number}" for state, number in counted.items())
    letters_of = counted[JobState.DEAD]
    zeros = ", ".join("0" for _ in range(14))
    await connection.execute(f"INSERT INTO jobkit.tallies VALUES ({zeros})")  # noqa: S608
    await connection.execute(f"UPDATE jobkit.tallies SET {states}, letters = {letters_of}")  # noqa: S608
    await connection.execute("SELECT setval('jobkit.positions', $1)", count)
    await connection.execute("ANALYZE jobkit.jobs")
    await connection.execute("ANALYZE jobkit.dead")
    await connection.close()


async def _fill_redis(url: str, count: int) -> None:
    server = redis.asyncio.from_url(url)
    letters = 0
    for page in _pages(count):
        pipe = server.pipeline(transaction=False)
        for row in page:
            pipe.hset(f"{PREFIX}job:{row.id}", mapping=_fields(row))
        pipe.zadd(f"{PREFIX}jobs", {row.id: row.number for row in page})
        for state in JobState:
            if (
                found := {row.id: row.number for row in page if row.state is state}
            ) and state is not JobState.COMMITTED:
                pipe.zadd(f"{PREFIX}state:{state.value}", found)
        if ended := [row.id for row in page if row.state in (JobState.COMMITTED, JobState.CANCELLED)]:
            pipe.rpush(f"{PREFIX}ended", *ended)
        if envelopes := {row.id: row.envelope for row in page if not row.state.ended}:
            pipe.hset(f"{PREFIX}envelopes", mapping=envelopes)
        for row in page:
            if row.state is JobState.DEAD:
                letters += 1
                names = ("id", "type", "key", "reason", "detail")
                said = dict(zip(names, _letter(row), strict=True))
                more = {"failures": f"1 {json.dumps(_FAILURE)}", "raw": row.envelope, "died_at": row.ended}
                pipe.hset(f"{PREFIX}letter:{letters}", mapping={**said, **more})
                pipe.zadd(f"{PREFIX}dead", {str(letters): letters})
        await pipe.execute()
    await server.hset(f"{PREFIX}store", mapping={"position": count, "letter": letters})
    await server.aclose()


def _fields(row: Row) -> dict[str, Any]:
    names: Sequence[str] = _COLUMNS.split(", ")
    columns = dict(zip(names, _columns(row, f"1 {json.dumps(_FAILURE)}"), strict=True))
    return {name: value for name, value in columns.items() if value is not None and name not in ("id", "slot", "ended")}
