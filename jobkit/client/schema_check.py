"""Checking a payload against the JSON Schema that a worker has published."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from jobkit.model.safe_text import shown, storable

# As many as a person reads at once.
_PROBLEMS = 5
_CHARACTERS = 200


def problems(schema: Mapping[str, Any], payload: object) -> list[str]:
    """Return what is wrong with a payload, each as `field: what`; the first few of it."""
    # Only programs without a worker's code need it.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError, best_match

    try:
        validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
        found = []
        for error in islice(validator.iter_errors(payload), _PROBLEMS):
            # Of what fits none of several choices, the one that it comes nearest to.
            nearest = best_match([error]) or error
            where = ".".join(str(part) for part in nearest.absolute_path) or "payload"
            found.append(f"{storable(where)}: {storable(nearest.message)[:_CHARACTERS]}")
    except (SchemaError, RecursionError) as error:
        return [f"its published schema cannot be used: {shown(error)}"]
    return found
