"""The values that stand between a worker and a write it has no right to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fence:
    """Who writes: carried into every store write and compared there, in the same step.

    `token` is the lease's fencing token. The `nonce` tells two holders of an equal token apart, which happens
    once a coordinator lost its data. Method: fencing tokens as in M. Kleppmann, "How to do distributed
    locking" (2016), with the mark registered before any work.
    """

    token: int
    nonce: str
    owner: str


class Receipt:
    """Proof that a store transaction settled a job, and so the only thing a delivery can be acked with.

    Only a store's `open`, `commit`, `bury`, `park` and `shelve` make one, after their transaction is durable, and
    `cancelled` or `expired`, of what was.
    """

    __slots__ = ("job_id", "kind")

    def __init__(self, job_id: str, kind: str) -> None:
        self.job_id = job_id
        self.kind = kind

    def __repr__(self) -> str:
        return f"Receipt({self.job_id!r}, {self.kind!r})"
