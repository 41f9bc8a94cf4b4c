"""Groups: job types that share their keys.

To broker, coordinator and store a group is one job type. So over all of its types a key has one queue, one lease, one
mark, one order and one log. Which of them a job is for is told by its body, around the payload:
`{"deposit": {"amount": 10}}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import from_json

from jobkit.errors import ConfigurationError, UnknownMember, UnknownType
from jobkit.plugin.processor import Processor

AnyProcessor = Processor[Any, Any]

# What is between the colon and the last brace has to be one JSON value, which whoever parses it finds out.
_BODY = re.compile(rb'\s*\{\s*"([a-z][a-z0-9_.-]*)"\s*:(.*)\}\s*', re.DOTALL)


def enclosed(processor: AnyProcessor, payload: bytes) -> bytes:
    """Return the body of a job whose payload is this JSON."""
    return payload if processor.group is None else in_group(processor.name, payload)


def in_group(type: str, payload: bytes) -> bytes:
    """Return the body of a job of a type that is in a group."""
    return b'{"%b":%b}' % (type.encode(), payload)


class Groups:
    """The groups of a process's processors. Raises `ConfigurationError` where the types of one do not fit together."""

    def __init__(self, processors: Iterable[AnyProcessor]) -> None:
        self._members: dict[str, dict[str, AnyProcessor]] = {}
        alone = set()
        for one in processors:
            if one.group is None:
                alone.add(one.name)
            else:
                self._members.setdefault(one.group, {})[one.name] = one
        for group, members in self._members.items():
            if group in alone:
                raise ConfigurationError(
                    f"group {group!r} ({_listed(members)}) has the name of a job type outside of it: rename one of them"
                )
            _check_agreement(group, list(members.values()))

    def members(self, group: str) -> Sequence[AnyProcessor]:
        """Return the processors of a group; none where there is no group of that name."""
        return list(self._members.get(group, {}).values())

    def of_body(self, group: str, body: bytes) -> tuple[AnyProcessor, bytes]:
        """Return the processor that a job of a group is for, and its payload.

        Raises `UnknownType` where the body does not say, and `UnknownMember` where it names a type that is not loaded.
        """
        members = self._members[group]
        found = _BODY.fullmatch(body)
        if found is None or (found[1].decode() not in members and not _is_json(found[2])):
            raise UnknownType(
                f'a job of group {group!r} names its type around the payload, as in {{"TYPE": {{...}}}}; loaded are: '
                f"{_listed(members)}"
            )
        name = found[1].decode()
        if name not in members:
            raise UnknownMember(
                f"no processor for job type {name[:80]!r} of group {group!r} is loaded (loaded: {_listed(members)}); "
                "each worker of a group needs all of its types"
            )
        return members[name], found[2]


def _is_json(raw: bytes) -> bool:
    try:
        from_json(raw)
    except ValueError:
        return False
    return True


def _check_agreement(group: str, members: Sequence[AnyProcessor]) -> None:
    first = members[0]
    for other in members[1:]:
        those = f"group {group!r}: {first.name!r} and {other.name!r}"
        if other.ordered != first.ordered:
            raise ConfigurationError(f"{those} have one order for each key: both are `ordered`, or neither is")
        if (other.priority is None) != (first.priority is None):
            raise ConfigurationError(f"{those} share their queues: declare a priority for both, or for neither")
        if set(map(id, other.projections)) != set(map(id, first.projections)):
            raise ConfigurationError(f"{those} write one log for each key: declare the same projections for both")
        if other.log_retention != first.log_retention:
            raise ConfigurationError(f"{those} write one log for each key: declare one log_retention for both")
        if other.file_retention != first.file_retention:
            raise ConfigurationError(f"{those} have their files in common: declare one file_retention for both")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
