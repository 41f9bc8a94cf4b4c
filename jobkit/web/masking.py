"""What jobs say, as people may see it: secrets are masked, and what a type keeps private is for operators alone."""

from __future__ import annotations

import json
from typing import Any, get_args

from pydantic import BaseModel

from jobkit.errors import JobkitError
from jobkit.model.read_back import SECRETS
from jobkit.ops.views import stored_json
from jobkit.plugin.registry import Registry
from jobkit.web.access import User, may_see

MASK = "•" * 6
HIDDEN = "This is for operators to see: its type says so, or the type is not loaded in this dashboard."


def shown_payload(user: User, registry: Registry, type: str, body: bytes) -> str:
    """Return a payload as indented JSON, with its secrets masked where its type is loaded here."""
    if not may_see(user, registry, type):
        return HIDDEN
    said = stored_json(body)
    try:
        processor, own = registry.addressed(type, body)
        own_said = stored_json(own)
    except JobkitError:
        # Nothing tells where its secrets are: it is shown as it came.
        return _pretty(said)
    try:
        said = _masked(own_said, processor.parse(own))
    except JobkitError:
        # Today's model does not take it, and tells still which fields are secret.
        said = _masked_by_name(own_said, processor.payload)
    return _pretty(said)


def shown_result(user: User, registry: Registry, type: str, result: bytes) -> str:
    """Return a result likewise."""
    if not may_see(user, registry, type):
        return HIDDEN
    said = stored_json(result)
    for processor in registry.members(type):
        try:
            said = _masked(said, processor.load_result(result))
        except ValueError:
            # It is a result of another type of the group, or of another version.
            continue
    return _pretty(said)


def holds_secrets(annotation: Any) -> bool:
    """Tell whether a value of this annotation may be a secret, or hold one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return any(holds_secrets(info.annotation) for info in annotation.model_fields.values())
    return annotation in SECRETS or any(holds_secrets(one) for one in get_args(annotation))


def _masked_by_name(said: Any, model: type[BaseModel]) -> Any:
    if not isinstance(said, dict):
        return said
    secret = {info.alias or name for name, info in model.model_fields.items() if holds_secrets(info.annotation)}
    return {name: MASK if name in secret else value for name, value in said.items()}


def unmasked(edited: bytes, original: bytes) -> bytes:
    """Return an edited payload with the secrets of the original, where they were left masked."""
    if MASK.encode() not in edited:
        return edited
    said = stored_json(edited)
    # What is no JSON is left to whoever reads it.
    return edited if isinstance(said, str) else json.dumps(_restored(said, stored_json(original))).encode()


def _restored(said: Any, original: Any) -> Any:
    if said == MASK:
        return original
    if isinstance(said, dict) and isinstance(original, dict):
        return {name: _restored(value, original.get(name, value)) for name, value in said.items()}
    if isinstance(said, list) and isinstance(original, list):
        return [_restored(value, one) for value, one in zip(said, original, strict=False)] + said[len(original) :]
    return said


def _pretty(said: Any) -> str:
    return said if isinstance(said, str) else json.dumps(said, indent=2, ensure_ascii=False)


def _masked(said: Any, parsed: Any) -> Any:
    if isinstance(parsed, SECRETS):
        return MASK
    if isinstance(parsed, BaseModel) and isinstance(said, dict):
        names = {info.alias or name: name for name, info in parsed.__class__.model_fields.items()}
        return {key: _masked(value, getattr(parsed, str(names.get(key, key)), None)) for key, value in said.items()}
    if isinstance(parsed, dict) and isinstance(said, dict):
        return {key: _masked(value, parsed.get(key)) for key, value in said.items()}
    if isinstance(parsed, list | tuple) and isinstance(said, list):
        return [_masked(value, one) for value, one in zip(said, parsed, strict=False)]
    return said
