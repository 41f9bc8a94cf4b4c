"""An error on its way from one process to another: its class, what it holds, and its traceback as text."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

from jobkit.model.safe_text import error_text, error_traceback


class ChildTraceback(Exception):
    """Where an error was raised in another process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


@dataclass(frozen=True, slots=True)
class CarriedError:
    """What is left of an error; `pickled` is its class, arguments and attributes, None where it cannot be carried."""

    pickled: bytes | None
    text: str
    traceback: str

    @classmethod
    def of(cls, error: BaseException) -> CarriedError:
        """Return what can be carried of an error."""
        pickled = None
        try:
            pickled = pickle.dumps((type(error), error.args, vars(error)))
            _made(pickled)
        except Exception:  # noqa: BLE001  (whatever a class of somebody else's does: then its text is carried alone)
            pickled = None
        return cls(pickled, error_text(error), error_traceback(error))

    def error(self) -> BaseException:
        """Return the error again; a `RuntimeError` with its text where it could not be carried."""
        try:
            made = RuntimeError(self.text) if self.pickled is None else _made(self.pickled)
        except Exception:  # noqa: BLE001  (its class cannot be imported here: the text says what it was)
            made = RuntimeError(self.text)
        made.__cause__ = ChildTraceback(self.traceback)
        return made


def _made(pickled: bytes) -> BaseException:
    # Not by calling the class, whose constructor may take anything.
    kind, arguments, attributes = pickle.loads(pickled)  # noqa: S301  (between a worker and its own child)
    made: Any = kind.__new__(kind, *arguments)
    made.args = arguments
    vars(made).update(attributes)
    assert isinstance(made, BaseException)  # noqa: S101  (it was one)
    return made
