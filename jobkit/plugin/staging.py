"""What a job may stage: JSON that reads back, under names that every store takes, as much as one commit carries."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from jobkit.errors import EffectInvalid
from jobkit.model import names
from jobkit.model.read_back import MAX_BYTES, NotReadBack, codec_of, dump_untyped
from jobkit.ports.store import Effects

# What one transaction carries in every store, within its time. More is for blobs, or for several jobs.
MAX_EFFECTS_BYTES = 4 * MAX_BYTES
MAX_EFFECTS = 100_000


def checked_name(rule: names.NameRule, name: object) -> str:
    """Return `name` as plain text. Raises `EffectInvalid` where a store would not take it."""
    try:
        return rule.check(name)
    except ValueError as error:
        raise EffectInvalid(str(error)) from error


def staged_json(value: Any, where: str) -> bytes:
    """Return `value` as JSON. Raises `EffectInvalid` where it would not read back as it is."""
    try:
        if isinstance(value, BaseModel):
            return codec_of(type(value)).dump(value, where)
        return dump_untyped(value, where)
    except NotReadBack as error:
        raise EffectInvalid(str(error)) from error


def bounded(effects: Effects) -> Effects:
    """Return the effects. Raises `EffectInvalid` where they are more than one transaction can carry in every store."""
    size = len(effects.result)
    if effects.records or effects.entries or effects.follow_ups:
        size += sum(map(len, effects.records.values()))
        size += sum(len(entry.data) for entry in effects.entries)
        size += sum(len(job.envelope.body) for job in effects.follow_ups)
    if size > MAX_EFFECTS_BYTES:
        raise EffectInvalid(
            f"the job writes {size} bytes of result, records, log entries and follow-up jobs, more than "
            f"{MAX_EFFECTS_BYTES}: put large data into blobs"
        )
    for what, number in (
        ("records", len(effects.records)),
        ("log entries", len(effects.entries)),
        ("follow-up jobs", len(effects.follow_ups)),
        ("blobs", len(effects.blobs)),
    ):
        if number > MAX_EFFECTS:
            raise EffectInvalid(f"the job writes {number} {what}, more than {MAX_EFFECTS}: divide it into several jobs")
    return effects
