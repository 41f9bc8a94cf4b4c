"""What jobs say, as people may see it: secrets are masked, and what a type keeps private is for operators alone."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel, RootModel

from jobkit.errors import JobkitError
from jobkit.model.read_back import SECRETS
from jobkit.ops.views import stored_json
from jobkit.plugin.groups import AnyProcessor
from jobkit.plugin.registry import Registry
from jobkit.web.access import User, may_see
from jobkit.web.secret_fields import fields_by_key, holds_secrets, reads_paths, secret_keys

MASK = "•" * 6
HIDDEN = "This is for operators to see: its type says so, or the type is not loaded in this dashboard."


def shown_payload(user: User, registry: Registry, type: str, body: bytes) -> str:
    """Return a payload as indented JSON, with its secrets masked where its type is loaded here."""
    if not may_see(user, registry, type):
        return HIDDEN
    try:
        processor, own = registry.addressed(type, body)
    except JobkitError:
        # Nothing tells which of the types under that name it is of: it is shown as it came, where none has secrets.
        secret = any(holds_secrets(one.payload) for one in registry.members(type))
        return MASK if secret else pretty(stored_json(body))
    return pretty(masked_payload(processor, own))


def masked_payload(processor: AnyProcessor, body: bytes) -> Any:
    """Return a payload of that type as JSON values, with a mask in the place of each secret."""
    said = stored_json(body)
    try:
        return _masked(said, processor.parse(body))
    except JobkitError:
        # Today's model does not take it, and tells still which fields are secret.
        return _masked_by_name(said, processor.payload)


def shown_result(user: User, registry: Registry, type: str, result: bytes) -> str:
    """Return a result likewise."""
    if not may_see(user, registry, type):
        return HIDDEN
    said = stored_json(result)
    for processor in registry.members(type):
        try:
            said = _masked(said, processor.load_result(result))
        except Exception:  # noqa: BLE001  (a validator of the author's may raise anything)
            # It is a result of another type of the group, or of another version.
            said = _masked_by_name(said, processor.result)
    return pretty(said)


def pretty(said: Any) -> str:
    """Return JSON values as indented text, and what is text already as it is."""
    return said if isinstance(said, str) else json.dumps(said, indent=2, ensure_ascii=False)


def _masked_by_name(said: Any, kind: Any) -> Any:
    """Mask what is no value of `kind` by the names of its fields; all of it, where those tell nothing."""
    if not holds_secrets(kind):
        return said
    if not isinstance(said, dict) or not _is_model(kind) or reads_paths(kind):
        return MASK
    secret = secret_keys(kind)
    return {key: MASK if key in secret else value for key, value in said.items()}


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _masked(said: Any, parsed: Any) -> Any:
    """Return JSON with a mask for each secret of what was read from it; where the shapes differ, that is all of it."""
    if not _has_secrets(parsed):
        return said
    if isinstance(parsed, RootModel):
        return _masked(said, parsed.root)
    if isinstance(parsed, BaseModel) and isinstance(said, dict) and not reads_paths(parsed.__class__):
        names, extra = fields_by_key(parsed.__class__), parsed.__pydantic_extra__ or {}
        read = {key: [getattr(parsed, name) for name in names.get(key, ())] or [extra.get(key)] for key in said}
        return {key: _masked_at_key(value, read[key]) for key, value in said.items()}
    if isinstance(parsed, dict) and isinstance(said, dict) and parsed.keys() == said.keys():
        return {key: _masked(value, parsed[key]) for key, value in said.items()}
    if isinstance(parsed, list | tuple) and isinstance(said, list) and len(parsed) == len(said):
        return [_masked(value, one) for value, one in zip(said, parsed, strict=True)]
    return MASK


def _masked_at_key(said: Any, read: Sequence[Any]) -> Any:
    """Mask what is at a key, from which these values may have been read: mostly one."""
    if len(read) == 1:
        return _masked(said, read[0])
    return MASK if any(map(_has_secrets, read)) else said


def _has_secrets(value: object) -> bool:
    if isinstance(value, SECRETS):
        return True
    if isinstance(value, BaseModel):
        return any(map(_has_secrets, [*value.__dict__.values(), *(value.__pydantic_extra__ or {}).values()]))
    if isinstance(value, Mapping):
        return any(_has_secrets(key) or _has_secrets(one) for key, one in value.items())
    if is_dataclass(value) and not isinstance(value, type):
        return any(_has_secrets(getattr(value, field.name)) for field in fields(value))
    return isinstance(value, Collection) and not isinstance(value, str | bytes) and any(map(_has_secrets, value))
