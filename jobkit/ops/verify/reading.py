"""`jobkit verify`: an independent reading of what was committed, on a live system.

It reads keys, jobs, logs, projections and blobs through the same ports as everybody, and compares them with each
other; it changes nothing. What is still moving (a job that is queued or runs) is no finding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobkit.model.blob import BlobRef
from jobkit.model.clock import Clock, SystemClock
from jobkit.model.invariant import Invariant
from jobkit.ops.standing_still import standing_still
from jobkit.ops.verify.lost_jobs import check_outbox, check_queues
from jobkit.ops.verify.projections import ProjectionCheck, begin_checks
from jobkit.ops.verify.rollback import check_rollback, check_superseded
from jobkit.ops.verify.violation import Violation
from jobkit.ops.verify.whereabouts import Place
from jobkit.ports.inspection import KeyRecord
from jobkit.ports.planes import Planes
from jobkit.projections.log_reader import all_keys, log_pages
from jobkit.projections.projection import Projection


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was read, what was found wrong, and where the jobs are; `unread` says what could not be read, and why."""

    keys: int
    entries: int
    blobs: int
    findings: Sequence[Violation]
    unread: Sequence[str] = ()
    places: Mapping[str, Place] = field(default_factory=dict)


async def verify(
    planes: Planes,
    projections: Mapping[str, Sequence[Projection[Any]]] | None = None,
    clock: Clock | None = None,
) -> Verdict:
    """Read everything and return the verdict; `projections` are those to compare with the logs, by job type.

    Raises `Unavailable`.
    """
    keys = entries = blobs = 0
    findings: list[Violation] = []
    expected = {(gap.type, gap.key): gap.expected async for gap in standing_still(planes.inspection)}
    async for key in all_keys(planes.inspection):
        keys += 1
        entries += key.log_length
        blobs += len(key.manifest)
        findings += _sequences(key)
        checks = await begin_checks(planes.store, key, (projections or {}).get(key.type, ()))
        findings += await _log(planes, key, checks)
        findings += [found for blob in key.manifest for found in await _blob(planes, key, blob)]
    findings += await _gaps(planes, expected)
    findings += await check_rollback(planes)
    findings += await check_superseded(planes)
    findings += await check_outbox(planes)
    lost, seen, unread = await check_queues(planes, clock or SystemClock())
    return Verdict(
        keys,
        entries,
        blobs,
        findings + lost,
        unread=[f"queues: {unread}"] if unread else [],
        places={} if seen is None else seen.places,
    )


async def _gaps(planes: Planes, expected: Mapping[tuple[str, str], int]) -> list[Violation]:
    """Find the keys that wait for the same sequence still as before everything was read."""
    return [
        Violation(
            Invariant.ORDER,
            f"{gap.type}/{gap.key}",
            f"stands still: sequence {gap.expected} is missing, {gap.parked} jobs from {gap.first} on are parked "
            "behind it; `jobkit gaps resume` or `skip` decides what becomes of them",
        )
        async for gap in standing_still(planes.inspection)
        if expected.get((gap.type, gap.key)) == gap.expected
    ]


def _sequences(key: KeyRecord) -> list[Violation]:
    if 0 < key.submitted_sequence < key.committed_sequence:
        problem = f"sequence {key.committed_sequence} took effect, but only {key.submitted_sequence} were given out"
        return [Violation(Invariant.ORDER, f"{key.type}/{key.key}", problem)]
    return []


async def _log(planes: Planes, key: KeyRecord, checks: Sequence[ProjectionCheck]) -> list[Violation]:
    """Check one key's log: no hole, tokens never fall, no sequence or job twice, none above the mark.

    What it adds up to is left to `checks`, which are shown every entry.
    """
    where = f"{key.type}/{key.key}"
    findings = []
    token = sequence = 0
    position = key.log_trimmed
    current: str | None = None
    ended: set[str] = set()
    async for page in log_pages(planes.inspection, key.type, key.key):
        for check in checks:
            check.take(page)
        for entry in page:
            if not ended and entry.position != position + 1:
                # More of it may have been dropped since the key was read.
                position = max(position, await _trimmed(planes, key))
            if entry.position != position + 1:
                findings.append(
                    Violation(Invariant.NOTHING_LOST, where, f"the log jumps from {position} to {entry.position}")
                )
            if entry.token < token:
                problem = f"log entry {entry.position} has token {entry.token} after {token}"
                findings.append(Violation(Invariant.FENCING, where, problem))
            if entry.job_id != current:
                # The entries of one commit lie side by side, so a job that comes back committed twice.
                if entry.job_id in ended:
                    problem = f"job {entry.job_id} is in the log again at {entry.position}"
                    findings.append(Violation(Invariant.SINGLE_EFFECT, where, problem))
                if entry.sequence is not None and entry.sequence <= sequence:
                    problem = f"log entry {entry.position} has sequence {entry.sequence} after {sequence}"
                    findings.append(Violation(Invariant.ORDER, where, problem))
                current = entry.job_id
                ended.add(entry.job_id)
            position, token = entry.position, max(token, entry.token)
            sequence = max(sequence, entry.sequence or 0)
    if position < key.log_length and not ended:
        position = max(position, await _trimmed(planes, key))
    if position < key.log_length:
        findings.append(Violation(Invariant.NOTHING_LOST, where, f"the log has {position} of {key.log_length} entries"))
    if token > key.token and token > await _mark(planes, key):
        findings.append(
            Violation(Invariant.FENCING, where, f"the mark is {key.token}, but token {token} wrote to the log")
        )
    return findings + [found for check in checks for found in check.findings()]


async def _trimmed(planes: Planes, key: KeyRecord) -> int:
    """Return how many entries of the log were dropped by now."""
    current = await planes.inspection.key(key.type, key.key)
    return key.log_trimmed if current is None else current.log_trimmed


async def _mark(planes: Planes, key: KeyRecord) -> int:
    """Return the key's mark as it is now: since the key was read, commits may have raised it."""
    current = await planes.inspection.key(key.type, key.key)
    return 0 if current is None else current.token


async def _blob(planes: Planes, key: KeyRecord, blob: BlobRef) -> list[Violation]:
    where = f"{key.type}/{key.key}"
    digest, size = hashlib.sha256(), 0
    try:
        async for chunk in planes.blobs.read(blob.location):
            digest.update(chunk)
            size += len(chunk)
    except FileNotFoundError:
        # A commit since the key was read may have replaced the manifest, and a sweep the file.
        current = await planes.inspection.key(key.type, key.key)
        if current is not None and blob in current.manifest:
            return [
                Violation(
                    Invariant.NOTHING_LOST, where, f"file {blob.name} is in the manifest but not at {blob.location}"
                )
            ]
        return []
    if (size, digest.hexdigest()) != (blob.size, blob.sha256):
        problem = f"file {blob.name} at {blob.location} was altered: {size} bytes, expected {blob.size}"
        return [Violation(Invariant.NOTHING_LOST, where, problem)]
    return []
