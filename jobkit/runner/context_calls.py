"""What blocking code asks of its context, done on the event loop against the attempt's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from inspect import isawaitable
from pathlib import Path
from typing import Any

from jobkit.plugin.context import Context


class _Dropped(Exception):
    """The block in which a file was to be written has failed."""


class ContextCalls:
    """Does calls by their names; there are no others."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._lent: dict[int, AbstractAsyncContextManager[Path]] = {}
        self._number = 0
        self._known: Mapping[str, Callable[..., Any]] = {
            "check": ctx.check,
            "workdir": ctx.workdir,
            "progress": ctx.progress,
            "append": ctx.append,
            "record": ctx.record,
            "read": ctx.read,
            "submit": ctx.submit,
            "settings": ctx.settings,
            "download": self._download,
            "add_to_committed": self._add_to_committed,
            "lend": self._lend,
            "take": self._take,
            "drop": self._drop,
        }

    async def call(self, name: str, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """Return what the call returns, or raise what it raises."""
        answer = self._known[name](*arguments, **named)
        return await answer if isawaitable(answer) else answer

    async def _download(self, name: str, to: Path, type: str | None, key: str | None) -> None:
        await (await self._ctx.files(type, key)).download(name, to)

    def _add_to_committed(self) -> None:
        self._ctx.blobs.add_to_committed()

    async def _lend(self, kind: str, name: str) -> tuple[int, Path]:
        blobs = self._ctx.blobs
        lent = blobs.create(name) if kind == "create" else blobs.directory(name)
        path = await lent.__aenter__()
        self._number += 1
        self._lent[self._number] = lent
        return self._number, path

    async def _take(self, number: int) -> None:
        await self._lent.pop(number).__aexit__(None, None, None)

    async def _drop(self, number: int) -> None:
        dropped = _Dropped()
        try:
            await self._lent.pop(number).__aexit__(_Dropped, dropped, None)
        except _Dropped:
            return
