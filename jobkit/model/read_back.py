"""JSON that is proven to read back: what a model was given is what everybody finds in the store.

Pydantic's writing and reading are two separate things. Left alone, it writes `**********` for a secret, leaves out
`exclude=True`, writes null for NaN, and a validator that changes what it is given changes it again when it reads. So
everything that jobkit writes is read back, compared, and refused by the field's name before anybody depends on it.

Written by alias; read by alias and by name, so that an alias for one direction only does no harm. Computed fields are
not written: they are made again by whoever reads.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import fields, is_dataclass
from decimal import Decimal
from functools import lru_cache
from types import NoneType
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Secret, SecretBytes, SecretStr, TypeAdapter, ValidationError
from pydantic_core import from_json, to_jsonable_python

from jobkit.model.safe_text import error_text, shown

T = TypeVar("T")

# More is for a file: it is a transaction's, and every reader's, to carry.
MAX_BYTES = 8 * 1024 * 1024
# Any reader of JSON takes a number below this; of longer ones some make infinity, and Python itself raises an error.
MAX_DIGITS = 300
_TOO_MANY_DIGITS = re.compile(rb"[0-9]{%d}" % (MAX_DIGITS + 1))
_TOO_LONG = f"is, or contains, a number of more than {MAX_DIGITS} digits: write it as text"
SECRETS = (SecretStr, SecretBytes, Secret)
HOW_TO_KEEP_ONE = "refer to it by a name, or give its field a serializer"


class NotReadBack(ValueError):
    """A value does not read back from JSON as it was written; the message names the field."""


class Codec(Generic[T]):
    """Writes and reads values of one type. Raises `PydanticUserError` where pydantic knows no way to."""

    def __init__(self, type: Any) -> None:
        self._adapter: TypeAdapter[T] = TypeAdapter(type)
        self._untyped = type is Any or type is object
        self._nothing = type is None or type is NoneType

    def dump(self, value: T, where: str) -> bytes:
        """Return `value` as JSON. Raises `NotReadBack` naming the field, `where` being the value itself."""
        if self._untyped:
            return dump_untyped(value, where)
        if self._nothing and value is None:
            # What most jobs return, and the one value that there is nothing to read back of.
            return b"null"
        try:
            raw = self._adapter.dump_json(value, round_trip=True, by_alias=True, warnings="none")
        except Exception as error:
            # A serializer of the author's own may raise anything.
            raise NotReadBack(_unwritten(value, error, where)) from error
        _check_json(raw, value, where)
        try:
            read = self.load(raw)
        except ValidationError as error:
            raise NotReadBack(_refused(value, error, where)) from error
        except Exception as error:
            raise NotReadBack(f"{where} is written as JSON that cannot be read back: {_line(error)}") from error
        found = difference(value, read, where)
        if found is not None:
            raise NotReadBack(found)
        return raw

    def load(self, raw: bytes) -> T:
        """Return the value in `raw`. Raises `ValidationError`, or whatever a validator of the author's raises."""
        return self._adapter.validate_json(raw, by_alias=True, by_name=True)


@lru_cache(maxsize=512)
def codec_of(type: Any) -> Codec[Any]:
    """Return the codec of a type; that of a model is made once."""
    return Codec(type)


def dump_untyped(value: object, where: str) -> bytes:
    """Return a value without a declared type as JSON. Raises `NotReadBack` naming the part that JSON cannot say.

    Models within are proven to read back; tuples and sets become lists, dates and paths text.
    """
    try:
        raw = _UNTYPED.dump_json(_plain(value, where))
    except NotReadBack:
        raise
    except RecursionError as error:
        raise NotReadBack(f"{where} is nested too deeply, or contains itself") from error
    except Exception as error:
        raise NotReadBack(_unwritten(value, error, where)) from error
    _check_json(raw, value, where)
    return raw


_UNTYPED: TypeAdapter[Any] = TypeAdapter(Any)


def _plain(value: object, where: str) -> object:
    """Return `value` made of what JSON has."""
    if value is None or type(value) in (str, bool, int):
        return value
    if isinstance(value, SECRETS):
        raise NotReadBack(f"{where} is a secret, which is written as asterisks: {HOW_TO_KEEP_ONE}")
    if isinstance(value, float | Decimal):
        if not math.isfinite(value):
            raise NotReadBack(f"{where} is {value}, which JSON cannot say")
        return value
    if isinstance(value, BaseModel):
        return from_json(codec_of(type(value)).dump(value, where))
    if isinstance(value, Mapping):
        return _plain_mapping(value, where)
    if isinstance(value, list | tuple | Set):
        return [_plain(item, f"{where}.{index}") for index, item in enumerate(value)]
    if is_dataclass(value):
        kind: Any = type(value)
        return from_json(codec_of(kind).dump(value, where))
    made = to_jsonable_python(value, round_trip=True, by_alias=True)
    return _plain(made, where) if isinstance(made, float | dict | list) else made


def _plain_mapping(value: Mapping[Any, Any], where: str) -> dict[str, object]:
    made: dict[str, object] = {}
    for key, item in value.items():
        name = str.__str__(key) if isinstance(key, str) else str(_plain(key, where))
        if name in made:
            raise NotReadBack(f"{where} has two entries that JSON would call {shown(name)}")
        made[name] = _plain(item, f"{where}.{name}")
    return made


def _check_json(raw: bytes, value: object, where: str) -> None:
    """Raise `NotReadBack` where some store or reader could not take this JSON."""
    if len(raw) > MAX_BYTES:
        raise NotReadBack(f"{where} has {len(raw)} bytes as JSON, more than {MAX_BYTES}: put large data into a blob")
    if b"NaN" in raw or b"Infinity" in raw:
        try:
            from_json(raw, allow_inf_nan=False)
        except ValueError as error:
            raise NotReadBack(f"{where} contains NaN or infinity, which JSON cannot say") from error
    if _TOO_MANY_DIGITS.search(raw):
        # Not within a text, though; and what was written is not always what it was written from.
        _refuse_long_numbers(value, where)
        _refuse_long_numbers(_parsed(raw, where), where)


def _refuse_long_numbers(value: object, where: str) -> None:
    for path, leaf in _leaves(value, where):
        if isinstance(leaf, int) and abs(leaf) >= 10**MAX_DIGITS:
            raise NotReadBack(f"{path} {_TOO_LONG}")


def _parsed(raw: bytes, where: str) -> object:
    try:
        return from_json(raw)
    except ValueError as error:
        raise NotReadBack(f"{where} {_TOO_LONG}") from error


# ---- comparing -----------------------------------------------------------------------------------------------------


def difference(written: object, read: object, where: str) -> str | None:
    """Return what is different in what was read, naming the field; None where nothing is."""
    if type(written) is type(read) and _equal(written, read):
        return None
    if isinstance(written, BaseModel):
        return _model_difference(written, read, where)
    if isinstance(written, Mapping) and isinstance(read, Mapping) and written.keys() == read.keys():
        return _first(difference(item, read[key], f"{where}.{key}") for key, item in written.items())
    if isinstance(written, list | tuple) and type(written) is type(read) and len(written) == len(read):
        return _first(difference(item, read[index], f"{where}.{index}") for index, item in enumerate(written))
    if is_dataclass(written) and type(written) is type(read):
        names = (field.name for field in fields(written) if field.compare)
        return _first(difference(getattr(written, name), getattr(read, name), f"{where}.{name}") for name in names)
    return None if _equal(written, read) else _differs(written, read, where)


def _model_difference(written: BaseModel, read: object, where: str) -> str | None:
    if not isinstance(read, BaseModel) or type(written) is not type(read):
        return f"{where} is a {type(written).__name__} and reads back as a {type(read).__name__}"
    # Fields only: what a model keeps for itself in private attributes was never validated.
    one = {**written.__dict__, **(written.__pydantic_extra__ or {})}
    other = {**read.__dict__, **(read.__pydantic_extra__ or {})}
    names = [*type(written).model_fields, *(written.__pydantic_extra__ or {}), *(read.__pydantic_extra__ or {})]
    return _first(difference(one.get(name), other.get(name), f"{where}.{name}") for name in names)


def _equal(written: object, read: object) -> bool:
    try:
        # NaN is equal to nothing, and reads back as itself where an author has it written as text.
        if bool(written == read) or bool(written != written and read != read):
            return True
    except Exception:  # noqa: BLE001  (an author's `__eq__` may raise anything; then it says nothing)
        return False
    # What cannot be compared is the author's to write and read; its class is all that can be told.
    return type(written) is type(read) and type(written).__eq__ is object.__eq__


def _first(differences: Iterator[str | None]) -> str | None:
    return next((found for found in differences if found is not None), None)


def _differs(written: object, read: object, where: str) -> str:
    if isinstance(written, SECRETS):
        return f"{where} is a secret, which is written as asterisks: {HOW_TO_KEEP_ONE}"
    if isinstance(written, float) and not math.isfinite(written):
        return f"{where} is {written}, which JSON cannot say"
    return f"{where} is {shown(written)} and reads back as {shown(read)}"


def _unwritten(value: object, error: Exception, where: str) -> str:
    """Say why a value could not be written."""
    for path, leaf in _leaves(value, where):
        if isinstance(leaf, str) and not _is_unicode(leaf):
            return f"{path} is not valid Unicode, so it cannot be written as JSON: {shown(leaf)}"
    return f"{where} cannot be written as JSON: {_line(error)}"


def _refused(value: object, error: ValidationError, where: str) -> str:
    """Say why what was written does not validate."""
    for path, leaf in _leaves(value, where):
        if isinstance(leaf, float) and not math.isfinite(leaf):
            return f"{path} is {leaf}, which JSON cannot say"
    (first, *_) = error.errors(include_url=False, include_context=False, include_input=False)
    path = ".".join((where, *(str(part) for part in first["loc"])))
    return f"{path} is written as something that does not read back: {first['msg']}"


def _leaves(value: object, where: str) -> Iterator[tuple[str, object]]:
    """Yield the values that are made of no others, with their paths."""
    if isinstance(value, BaseModel):
        for name, item in value:
            yield from _leaves(item, f"{where}.{name}")
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _leaves(getattr(value, field.name), f"{where}.{field.name}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{where}.{key}")
    elif isinstance(value, list | tuple | Set):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{where}.{index}")
    else:
        yield where, value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _line(error: BaseException) -> str:
    return error_text(error).partition("\n")[0]
