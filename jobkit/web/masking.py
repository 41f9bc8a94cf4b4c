"""Payloads as people may see them: what their model keeps as a secret is not shown."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from jobkit.errors import JobkitError
from jobkit.model.read_back import SECRETS
from jobkit.ops.views import stored_json
from jobkit.plugin.registry import Registry

MASK = "••••••"


def shown_payload(registry: Registry, job_type: str, body: bytes) -> str:
    """Return a payload as indented JSON, with its secrets masked where its type is loaded here."""
    said = stored_json(body)
    try:
        processor, own = registry.addressed(job_type, body)
        said = _masked(stored_json(own), processor.parse(own))
    except JobkitError:
        # Whoever cannot read it has nothing that tells where its secrets are: it is shown as it came.
        pass
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
