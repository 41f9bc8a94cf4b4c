"""A payload beside today's model of it, field by field: what fits, what is wrong, missing, or known no more."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from jobkit.errors import JobkitError
from jobkit.model.safe_text import shown
from jobkit.ops.views import stored_json
from jobkit.plugin.registry import Registry
from jobkit.web.access import User, may_see
from jobkit.web.masking import MASK
from jobkit.web.secret_fields import holds_secrets, keys_of, reads_paths, secret_keys

_SHOWN_CHARACTERS = 120


@dataclass(frozen=True, slots=True)
class ComparedField:
    """One field: what the payload has, or "" where it has none, what the model takes, and what comes of it.

    `fits`: it is taken as it is.
    """

    name: str
    has: str
    takes: str
    verdict: str
    fits: bool


def compared(user: User, registry: Registry, job_type: str, body: bytes) -> Sequence[ComparedField]:
    """Return the fields of a payload and of its model; none where either is not to be seen here."""
    if not may_see(user, registry, job_type):
        return ()
    try:
        processor, own = registry.addressed(job_type, body)
    except JobkitError:
        return ()
    said = stored_json(own)
    if not isinstance(said, dict):
        return ()
    model: type[BaseModel] = processor.payload
    wrong = _wrong(model, own)
    secret = said.keys() if reads_paths(model) and holds_secrets(model) else secret_keys(model)
    has = {key: MASK if key in secret else _json(value) for key, value in said.items()}
    fields = [(_key(name, info, said), name, info) for name, info in model.model_fields.items()]
    rows = [_field(key, info, has, _against(key, name, info, said, wrong)) for key, name, info in fields]
    known = {key for key, _, _ in fields}
    rows += [_stranger(key, value, wrong.get(key)) for key, value in has.items() if key not in known]
    # What a validator of the whole model says is of no field.
    whole = wrong.get("", ())
    last = [ComparedField("all together", "", model.__name__, "; ".join(whole), fits=False)] if whole else []
    return [*rows, *last]


def _against(
    key: str, name: str, info: FieldInfo, said: Mapping[str, Any], wrong: Mapping[str, Sequence[str]]
) -> Sequence[str]:
    """Return what is said against a field, by its alias or its name, and not against another entry of the payload."""
    keys = [one for one in keys_of(name, info) if one == key or one not in said]
    return [text for one in keys for text in wrong.get(one, ())]


def _key(name: str, info: FieldInfo, said: Mapping[str, Any]) -> str:
    """Return the key at which a payload has a field, or else the first at which it may."""
    keys = keys_of(name, info)
    return next((key for key in keys if key in said), keys[0])


def _wrong(model: type[BaseModel], body: bytes) -> Mapping[str, Sequence[str]]:
    """Return what the model says against each field, by its name."""
    found = defaultdict[str, list[str]](list)
    try:
        model.model_validate_json(body, by_alias=True, by_name=True)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False, include_input=False):
            first, *within = map(str, one["loc"]) if one["loc"] else ("",)
            found[first].append(f"{'.'.join(within)}: {one['msg']}" if within else one["msg"])
    except Exception as error:  # noqa: BLE001  (a validator of the model's own may raise anything)
        found[""].append(shown(error, _SHOWN_CHARACTERS))
    return found


def _field(name: str, info: FieldInfo, has: Mapping[str, str], wrong: Sequence[str]) -> ComparedField:
    takes = _kind(info.annotation)
    if name not in has:
        if info.is_required():
            return ComparedField(name, "", takes, "missing: it is needed", fits=False)
        default = info.get_default(call_default_factory=False)
        instead = "made anew for each" if info.default_factory is not None else _cut(repr(default))
        return ComparedField(name, "", takes, f"not given: {instead}", fits=True)
    return ComparedField(name, has[name], takes, "; ".join(wrong) or "fits", fits=not wrong)


def _stranger(name: str, has: str, wrong: Sequence[str] | None) -> ComparedField:
    verdict = "no such field any more: it is refused" if wrong else "no such field any more: it is left out"
    return ComparedField(name, has, "", verdict, fits=False)


def _kind(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _json(value: Any) -> str:
    return _cut(json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
