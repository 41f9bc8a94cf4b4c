"""A notice: what a submitter wants told of one job, as a job of its own that the end of that one makes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from jobkit.model.names import TYPE_CHARACTERS
from jobkit.model.priority import Priority
from jobkit.model.read_text import ReadKey, ReadText

# How a job can end.
EndState = Literal["committed", "dead", "cancelled", "expired"]
ENDS: tuple[EndState, ...] = get_args(EndState)
# Each has to fit into the head of a message, all of them together with everything else that is there.
MAX_NOTICES = 8
MAX_NOTICES_BYTES = 32 * 1024
# A larger result is left out of what is told: who wants it asks for it.
MAX_RESULT_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class Notice:
    """A job of `type`, which is submitted by the transaction that ends another one in one of the ways `on`.

    `body` is its payload as JSON, of that `version` of its type. `inside` are the names of the objects, from
    the outermost, in which it says what became of the other one; empty where it does not say.
    """

    id: Annotated[ReadText, Field(min_length=1, max_length=100)]
    type: Annotated[ReadText, Field(min_length=1, max_length=TYPE_CHARACTERS)]
    key: ReadKey | None
    body: str
    inside: tuple[str, ...]
    priority: Annotated[Priority, Field(strict=False)] = Priority.NORMAL
    version: Annotated[int, Field(ge=1)] = 1
    on: Annotated[tuple[EndState, ...], Field(min_length=1, max_length=len(ENDS))] = ("committed",)

    def body_of(self, key: str, state: EndState, result: bytes) -> bytes:
        """Return the body that tells of a job with that key, that ended so, and with that result (JSON)."""
        if not self.inside:
            return self.body.encode()
        body: dict[str, Any] = json.loads(self.body)
        told = body
        for name in self.inside:
            told = told[name]
        small = json.loads(result) if len(result) <= MAX_RESULT_BYTES else None
        told |= {"key": key, "state": state, "result": small}
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def packed(notices: Sequence[Notice]) -> str:
    """Return notices as text; `unpacked` is its inverse."""
    return json.dumps([asdict(notice) for notice in notices], separators=(",", ":"), ensure_ascii=False)


def unpacked(text: object) -> tuple[Notice, ...]:
    """Return the notices in a text that anybody may have written. Raises `ValueError`."""
    if not isinstance(text, str):
        raise ValueError("must be text")
    try:
        return _NOTICES.validate_json(text, strict=True)
    except ValidationError as error:
        raise ValueError("; ".join(item["msg"] for item in error.errors())) from error


def _able_to_tell(notice: Notice) -> Notice:
    try:
        notice.body_of("", notice.on[0], b"null")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("its body has no such place in which to say what became of a job") from error
    return notice


# One that anybody may have written; its job's end must be able to make it.
ReadNotice = Annotated[Notice, AfterValidator(_able_to_tell)]
_NOTICES: TypeAdapter[tuple[Notice, ...]] = TypeAdapter(
    Annotated[tuple[ReadNotice, ...], Field(max_length=MAX_NOTICES)]
)
