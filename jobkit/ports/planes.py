"""The planes together, as one process holds them."""

from __future__ import annotations

from dataclasses import dataclass

from jobkit.ports.blobs import Blobs
from jobkit.ports.broker import Broker
from jobkit.ports.coordinator import Coordinator
from jobkit.ports.inspection import Inspection
from jobkit.ports.store import Store
from jobkit.ports.transactions import TransactionalStore


@dataclass(frozen=True, slots=True)
class Planes:
    """One backend for each plane; which ones, nobody above them knows.

    `transactions` is the store once more, where others' transactions can be joined with its own.
    """

    broker: Broker
    coordinator: Coordinator
    store: Store
    inspection: Inspection
    blobs: Blobs
    transactions: TransactionalStore | None = None


@dataclass(frozen=True, slots=True)
class StorePlane:
    """The store alone, for whoever reads or steers what it knows; the other planes may be away, or not even named."""

    store: Store
    inspection: Inspection
