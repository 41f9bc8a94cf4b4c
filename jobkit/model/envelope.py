"""The envelope: what travels with a payload from submit to commit.

Packed form: one line of JSON (everything but the payload), a newline, the payload's bytes as they came.
The payload is kept as bytes, so that what could not be parsed can still be shown and requeued untouched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobkit.model.names import JOB_ID, TYPE_CHARACTERS
from jobkit.model.notice import MAX_NOTICES, EndState, Notice, ReadNotice
from jobkit.model.priority import Priority
from jobkit.model.read_text import ReadKey, ReadText
from jobkit.model.sequence import MAX_SEQUENCE

SCHEMA_VERSION = 1
# Bounds that every backend can keep.
MAX_ID_LENGTH = JOB_ID.limit
MAX_SCHEMA = 2**31 - 1
MAX_VERSION = MAX_SCHEMA
# What every version of jobkit has to be able to read; of a later one the rest may mean anything.
_NEEDED = frozenset({"id", "type", "key", "sequence", "schema"})


_HEAD = json.JSONEncoder(separators=(",", ":"))


class _Head(BaseModel):
    """The first line of a packed envelope, which anybody may have written."""

    model_config = ConfigDict(strict=True, extra="allow")

    id: Annotated[ReadText, Field(min_length=1, max_length=MAX_ID_LENGTH)]
    type: Annotated[ReadText, Field(min_length=1, max_length=TYPE_CHARACTERS)]
    key: ReadKey | None = None
    sequence: Annotated[int, Field(ge=1, le=MAX_SEQUENCE)] | None = None
    submitted_at: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    trace: dict[str, str] = {}
    schema_: Annotated[int, Field(alias="schema", ge=1, le=MAX_SCHEMA)] = SCHEMA_VERSION
    # Told as text, which is all that JSON knows.
    priority: Annotated[Priority, Field(strict=False)] = Priority.NORMAL
    notices: Annotated[tuple[ReadNotice, ...], Field(max_length=MAX_NOTICES)] = ()
    version: Annotated[int, Field(ge=1, le=MAX_VERSION)] = 1


def _head(line: bytes) -> _Head:
    """Return what is in a first line. Raises `ValueError` naming each field that is wrong.

    In a line that a later version wrote, what this one takes to be wrong is kept unread.
    """
    try:
        return _Head.model_validate_json(line)
    except ValidationError as error:
        wrong = {str(item["loc"][0]) if item["loc"] else "" for item in error.errors()}
        if wrong & _NEEDED or "" in wrong or not _is_later(line):
            problems = [f"{'.'.join(map(str, item['loc'])) or 'head'}: {item['msg']}" for item in error.errors()]
            raise ValueError("; ".join(problems)) from error
        fields = json.loads(line)
        unread = {name: fields.pop(name) for name in wrong}
        head = _Head.model_validate(fields)
        assert head.model_extra is not None  # noqa: S101  (the model allows them)
        head.model_extra.update(unread)
        return head


def _is_later(line: bytes) -> bool:
    schema = json.loads(line).get("schema")
    return isinstance(schema, int) and schema > SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class Heading:
    """What could be read of a message that is no job, for its dead letter. None of it was checked."""

    id: str | None = None
    type: str | None = None
    key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, packed: bytes) -> Heading:
        """Return what is legible of an envelope that cannot be unpacked."""
        try:
            head = json.loads(packed.partition(b"\n")[0])
        except (ValueError, RecursionError):
            return NOTHING_READ
        if not isinstance(head, dict):
            return NOTHING_READ
        named = {name: value for name in ("id", "type", "key") if isinstance(value := head.pop(name, None), str)}
        return cls(**named, headers={str(name): _shown(value) for name, value in head.items()})


def _shown(value: object) -> str:
    try:
        return value if isinstance(value, str) else json.dumps(value)
    except (ValueError, RecursionError):
        return "?"


NOTHING_READ = Heading()


@dataclass(frozen=True, slots=True)
class Envelope:
    """One job on its way.

    `key` and `sequence` may be missing on messages of foreign publishers: the key is then derived from the
    payload, and a missing sequence means that the job is taken in its queue's order. `trace` carries W3C trace
    context, and the job's tags. `submitted_at` is Unix time in seconds, for people. `priority` is no part of what the
    job is: it may be changed while the job waits. Nor are `notices`, by which its end is told. `version` is that of the
    payload, as its type counts them. `extra` is what the envelope says besides and this version of jobkit does not
    know: it is handed on as it came.
    """

    id: str
    type: str
    body: bytes
    key: str | None = None
    sequence: int | None = None
    submitted_at: float = 0.0
    trace: Mapping[str, str] = field(default_factory=dict)
    schema: int = SCHEMA_VERSION
    priority: Priority = Priority.NORMAL
    notices: tuple[Notice, ...] = ()
    version: int = 1
    extra: Mapping[str, object] = field(default_factory=dict)
    # Made once: a submitted job is packed for the store and for the broker.
    _packed: bytes | None = field(default=None, init=False, repr=False, compare=False)

    def digest(self) -> str:
        """Return what makes two envelopes of one id the same job: a SHA-256 over type, key and payload."""
        canonical = hashlib.sha256()
        for part in (self.type.encode(), (self.key or "").encode(), self.body):
            canonical.update(len(part).to_bytes(8, "big"))
            canonical.update(part)
        return canonical.hexdigest()

    def pack(self) -> bytes:
        """Return the envelope as bytes; `unpack` is its inverse."""
        if self._packed is not None:
            return self._packed
        head: dict[str, object] = {
            "id": self.id,
            "type": self.type,
            "key": self.key,
            "sequence": self.sequence,
            "submitted_at": self.submitted_at,
            "trace": dict(self.trace),
            "schema": self.schema,
        }
        if self.priority is not Priority.NORMAL:
            head["priority"] = self.priority.value
        if self.notices:
            head["notices"] = [asdict(notice) for notice in self.notices]
        if self.version != 1:
            head["version"] = self.version
        if self.extra:
            head |= self.extra
        packed = _HEAD.encode(head).encode() + b"\n" + self.body
        object.__setattr__(self, "_packed", packed)
        return packed

    @classmethod
    def unpack(cls, packed: bytes) -> Envelope:
        """Return the envelope that `pack` made `packed` from. Raises `ValueError` naming each field that is wrong."""
        first_line, _, body = packed.partition(b"\n")
        head = _head(first_line)
        return cls(
            id=head.id,
            type=head.type,
            body=body,
            key=head.key,
            sequence=head.sequence,
            submitted_at=head.submitted_at,
            trace=head.trace,
            schema=head.schema_,
            priority=head.priority,
            notices=head.notices,
            version=head.version,
            extra=head.model_extra or {},
        )

    @staticmethod
    def head(packed: bytes) -> bytes:
        """Return the first line of a packed envelope, which is all of it but the payload."""
        return packed.partition(b"\n")[0]

    def with_key(self, key: str) -> Envelope:
        """Return this envelope under `key`."""
        return replace(self, key=key)

    def with_sequence(self, sequence: int) -> Envelope:
        """Return this envelope with its place among those of its key. Each ordered job is given one, so it is quick."""
        return Envelope(
            self.id,
            self.type,
            self.body,
            self.key,
            sequence,
            self.submitted_at,
            self.trace,
            self.schema,
            self.priority,
            self.notices,
            self.version,
            self.extra,
        )

    def with_priority(self, priority: Priority) -> Envelope:
        """Return this envelope as one of that priority."""
        return self if self.priority is priority else replace(self, priority=priority)

    def notifications(
        self, state: EndState, result: bytes = b"null", *, at: float, trace: Mapping[str, str]
    ) -> list[Envelope]:
        """Return the jobs that tell that this one ended so, with that result (JSON), made at the Unix time `at`."""
        return [
            Envelope(
                id=notice.id if state == "committed" else f"{notice.id}.{state}",
                type=notice.type,
                body=notice.body_of(self.key or "", state, result),
                key=notice.key,
                submitted_at=at,
                trace=trace,
                priority=notice.priority,
                version=notice.version,
            )
            for notice in self.notices
            if state in notice.on
        ]
