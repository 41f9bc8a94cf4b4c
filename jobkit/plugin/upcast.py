"""Upcasters: how payloads of earlier versions of a job type become ones that today's code takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic_core import from_json

from jobkit.errors import ConfigurationError, PayloadInvalid, PayloadNewer
from jobkit.model.read_back import NotReadBack, dump_untyped
from jobkit.model.safe_text import ERROR_CHARACTERS, shown

Upcaster = Callable[[dict[str, Any]], Mapping[str, Any]]
U = TypeVar("U", bound=Upcaster)


class Upcasts:
    """The upcasters of one job type, whose payloads are of `version` now; each leads from one version to the next."""

    def __init__(self, type: str, version: int) -> None:
        self.version = version
        self._type = type
        self._from: dict[int, Upcaster] = {}

    @property
    def oldest(self) -> int:
        """The oldest version that can be read."""
        return min(self._from, default=self.version)

    def add(self, from_version: object, function: U) -> U:
        """Take `function` as the upcaster from that version. Raises `ConfigurationError` where it cannot be one."""
        if not isinstance(from_version, int) or isinstance(from_version, bool) or not 1 <= from_version < self.version:
            raise ConfigurationError(
                f"job type {self._type!r}: an upcaster is from a version below that of its payloads, which is "
                f"{self.version}, not from {shown(from_version)}: say @processor(..., version=...)"
            )
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise ConfigurationError(
                f"job type {self._type!r}: an upcaster is a plain function from the fields of one version to those of "
                f"the next, not {shown(function)}"
            )
        if self._from.setdefault(from_version, function) is not function:
            raise ConfigurationError(f"job type {self._type!r} has two upcasters from version {from_version}")
        return function

    def missing(self) -> list[int]:
        """Return the versions between the oldest and today's that nothing leads from."""
        return [version for version in range(self.oldest, self.version) if version not in self._from]

    def lift(self, body: bytes, version: int) -> bytes:
        """Return a payload of `version` as one of today's, both as JSON.

        Raises `PayloadNewer` for a later version, and `PayloadInvalid` for one that is too old, or where an upcaster
        raises or returns what is none.
        """
        said = f"payload of type {self._type!r} is of version {version}"
        if version > self.version:
            raise PayloadNewer(f"{said}, and the code that is loaded knows versions up to {self.version}")
        if version < self.oldest:
            raise PayloadInvalid(f"{said}, and no upcaster leads from there: the oldest is from version {self.oldest}")
        step = version
        try:
            values = from_json(body, allow_inf_nan=False)
            for step in range(version, self.version):
                if not isinstance(values, Mapping):
                    raise TypeError(f"its fields are {shown(values)}")
                values = self._from[step](dict(values))
            return dump_untyped(values, "payload")
        except NotReadBack as error:
            raise PayloadInvalid(f"{said}: the upcaster from version {step} makes no JSON of it: {error}") from error
        except Exception as error:
            raise PayloadInvalid(
                f"{said}: the upcaster from version {step} failed: {shown(error, ERROR_CHARACTERS)}"
            ) from error
