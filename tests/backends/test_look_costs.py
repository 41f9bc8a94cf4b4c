"""What people and workers look at costs the same however much there is of everything else."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

from jobkit.backends.sqlite import adrift, cancel, inspection, job_search, limit_uses, outbox, park, queues
from jobkit.backends.sqlite.commit import commit_job
from jobkit.backends.sqlite.open import open_job
from jobkit.backends.sqlite.schema import ensure_schema
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.model.job_filter import JobFilter
from jobkit.model.job_state import JobState
from jobkit.model.partition import Partition
from jobkit.ports.rules import PARKED_COUNTED
from jobkit.ports.store import Effects

Look = Callable[[Transaction], object]

FEW = PARKED_COUNTED + 100
MANY = 3 * FEW
HOT = Partition("hot", 0)
_ENDED = {"ended": 1.0, "finished_at": 1.0}
_STATES: Mapping[str, Mapping[str, Any]] = {
    "queued": {},
    "parked": {},
    "scheduled": {"due": 9e9},
    "committed": {**_ENDED, "settled": 1.0, "result": b"1"},
    "dead": _ENDED,
    "cancelled": {**_ENDED, "settled": 1.0, "ended_by": "x", "reason": "r"},
}


def _job(connection: sqlite3.Connection, type: str, key: str, state: str, sequence: int | None = None) -> int:
    (number,) = connection.execute("SELECT coalesce(max(number), 0) + 1 FROM jobs").fetchone()
    envelope = Envelope(f"j{number}", type, b"{}", key=key, sequence=sequence)
    row = {
        "number": number,
        "id": envelope.id,
        "type": type,
        "key": key,
        "sequence": sequence,
        "slot": number % 97,
        "digest": envelope.digest(),
        "state": state,
        "schema": 1,
        "submitted_at": 1000.0 + number,
        **_STATES.get(state, {}),
    }
    places = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({places})", [*row.values()])  # noqa: S608
    connection.execute("INSERT INTO envelopes VALUES (?, ?)", (number, envelope.pack()))
    return int(number)


def _filled(count: int) -> sqlite3.Connection:
    """Return a store with so many jobs in each state, nearly all of one type and key, that hide a few others."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    ensure_schema(connection, ":memory:")
    connection.execute("BEGIN")
    _job(connection, "hot", "h", "running", 4)
    for place in range(10, 10 + count):
        for state in ("committed", "cancelled", "scheduled"):
            _job(connection, "hot", "h", state)
        number = _job(connection, "hot", "h", "dead", place)
        connection.execute(
            "INSERT INTO dead (id, type, key, sequence, reason, detail, raw, died_at) "
            "VALUES (?, 'hot', 'h', ?, 'r', 'd', x'00', 1)",
            (f"j{number}", place),
        )
        number = _job(connection, "hot", "h", "queued", place)
        connection.execute("INSERT INTO outbox (made, job) VALUES (1, ?)", (number,))
        number = _job(connection, "hot", "behind", "parked", place)
        connection.execute("INSERT INTO parked VALUES ('hot', 'behind', ?, ?, 'r', 1)", (place, number))
        number = _job(connection, "hot", f"k{place}", "queued")
        connection.execute(
            "INSERT INTO inflight (job, type, number, key) VALUES (?, 'hot', 0, ?)", (number, f"k{place}")
        )
    for key in ("h", "behind", *(f"k{place}" for place in range(10, 10 + count))):
        connection.execute("INSERT INTO keys (type, key, committed, touched) VALUES ('hot', ?, 3, 1)", (key,))
    for state in ("committed", "dead", "running"):
        _job(connection, "rare", "r", state)
    for type in ("hot", "rare"):
        queues.declare(Transaction(connection, 2.0, 2.0), type, 2)
    hot, rare = (queues.queue_of(Transaction(connection, 2.0, 2.0), Partition(type, 0)) for type in ("hot", "rare"))
    connection.execute("INSERT INTO messages (queue, due, body) VALUES (?, NULL, x'00')", (rare,))
    for due in (None, 9e9):
        connection.executemany(
            "INSERT INTO messages (queue, due, body) VALUES (?, ?, x'00')", [(hot, due) for _ in range(count)]
        )
    connection.executemany("INSERT INTO limits VALUES (?, 1, 60)", [(f"calls/{place}",) for place in range(count)])
    connection.executemany(
        "INSERT INTO limit_uses VALUES (?, 'me', 9e9)", [(f"calls/{place}",) for place in range(count)]
    )
    connection.execute("UPDATE queues SET consumer = 'one that died'")
    connection.execute("COMMIT")
    return connection


def _looks() -> Iterator[tuple[str, Look]]:
    """Yield all ways to look, by name; those too for what is rare, or not there."""
    for type, key in ((None, None), ("hot", None), ("rare", "r"), ("none", None), ("hot", "h"), ("hot", "none")):
        for state in (None, *JobState):
            wanted = JobFilter(type, key, state)
            yield (
                f"find {type} {key} {state}",
                lambda t, w=wanted: job_search.find(t, w, below=None, limit=9, look_at=50),
            )
            if type is not None and state is not None and not state.ended:
                page = {"key": key, "below": None, "limit": 20}
                yield (
                    f"unfinished {type} {key} {state}",
                    lambda t, of=(type, state), page=page: cancel.unfinished(t, *of, **page),
                )
        if type is not None and key is not None:
            yield f"running {type} {key}", lambda t, of=(type, key): inspection.running(t, [of])
            yield f"gap {type} {key}", lambda t, of=(type, key): inspection.gap(t, *of)
        yield f"dead {type}", lambda t, of=type: inspection.dead(t, type=of, limit=9, after=0)
    yield "gaps", lambda t: inspection.gaps(t, after=("", ""), limit=9)
    yield "letters of a job", lambda t: inspection.letters(t, "j5", limit=9)
    yield "letters of no job", lambda t: inspection.letters(t, "none", limit=9)
    for prefix in ("", "calls/5", "none"):
        yield f"limits {prefix}", lambda t, of=prefix: limit_uses.in_use(t, of, after="", limit=9)
    yield "overdue", lambda t: inspection.overdue(t, limit=9)
    yield "keys", lambda t: inspection.keys(t, after=("", ""), limit=9)
    yield "counts", inspection.counts
    yield "outbox", lambda t: outbox.entries(t, older_than=-1, limit=9, after=0)
    yield "shelved", lambda t: park.shelved(t, HOT, limit=9, key=None, after=0)
    yield "shelved of no key", lambda t: park.shelved(t, HOT, limit=9, key="none", after=0)
    yield "shelved keys", lambda t: park.shelved_keys(t, HOT, limit=9, after="")
    yield "adrift", lambda t: adrift.adrift(t, HOT, 1, after=0, upto=1 << 40, limit=9)
    yield "adrift of a rare type", lambda t: adrift.adrift(t, Partition("rare", 0), 1, after=0, upto=1 << 40, limit=9)
    yield "depths", queues.depths
    for queue in (Partition("hot", 0), Partition("rare", 0), Partition("rare", 1)):
        yield f"{queue} is led", lambda t, of=queue: queues.open_claim(t, of, "me")
        yield f"{queue} is read", lambda t, of=queue: _received(t, of)
        yield f"{queue} is removed", lambda t, of=queue: queues.remove(t, of)
    for key in ("h", "behind"):
        yield f"a job of {key} is opened and committed", lambda t, key=key: _done(t, key)


def _received(transaction: Transaction, partition: Partition) -> None:
    claim = queues.open_claim(transaction, partition, "me")
    queues.arrived(transaction, claim, 0, frozenset(), 9)
    queues.last(transaction, claim)
    queues.ack(transaction, claim, 1)


def _done(transaction: Transaction, key: str) -> None:
    envelope = Envelope("new", "hot", b"{}", key=key)
    fence = Fence(9, "n", "w")
    open_job(transaction, envelope, fence)
    commit_job(transaction, envelope, fence, Effects())


def _steps(connection: sqlite3.Connection, look: Look) -> int:
    """Return how many steps of the database's machine a look takes."""
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.execute("BEGIN")
    connection.set_progress_handler(step, 1)
    look(Transaction(connection, 2.0, 2.0))
    connection.set_progress_handler(None, 0)
    connection.execute("ROLLBACK")
    return steps


def test_no_look_costs_more_where_there_is_more() -> None:
    with closing(_filled(FEW)) as few, closing(_filled(MANY)) as many:
        costs = {name: (_steps(few, look), _steps(many, look)) for name, look in _looks()}
    assert all(low > 0 for low, _ in costs.values())
    grown = {name: cost for name, cost in costs.items() if cost[1] > cost[0] * 1.1 + 100}
    assert not grown
