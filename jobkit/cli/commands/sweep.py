"""`jobkit sweep`: list and remove files that can never become visible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobkit.cli.options import AsJson, EnvFile

if TYPE_CHECKING:
    from jobkit.cli.session import CommandSession
    from jobkit.ops.blob_garbage import Swept, Tally

# A note about how far it has come, each time so many more objects were read.
_NOTE_EVERY = 50_000


def sweep(
    context: typer.Context,
    apply: Annotated[
        bool, typer.Option("--apply", help="Remove what is found. Without it, nothing is changed.")
    ] = False,
    unknown_keys: Annotated[
        bool,
        typer.Option(
            "--unknown-keys", help="Count objects of keys that the store does not know as garbage. Look twice first."
        ),
    ] = False,
    seconds: Annotated[float, typer.Option("--timeout", min=1, help="Give up after so many seconds.")] = 86_400.0,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Show the files of lost attempts and replaced results, or remove them; jobs may run meanwhile."""
    from jobkit.cli.session import CommandSession
    from jobkit.ops.blob_garbage import sweep as sweep_all

    session = CommandSession.begin(context, env_file, as_json=as_json)
    progress = _Progress(session)
    swept = session.call(
        lambda planes: sweep_all(planes, remove=apply, unknown_keys=unknown_keys, tell=progress.tell), limit=seconds
    )
    if as_json:
        session.out.document(_document(swept, applied=apply))
        return
    _show(session, swept, applied=apply)


class _Progress:
    """Says now and then how far the sweep has come."""

    def __init__(self, session: CommandSession) -> None:
        self._session = session
        self._next = _NOTE_EVERY

    def tell(self, swept: Swept) -> None:
        if swept.read < self._next:
            return
        self._next = swept.read - swept.read % _NOTE_EVERY + _NOTE_EVERY
        garbage = sum(tally.count for tally in swept.garbage.values())
        self._session.out.note(f"{swept.read} objects read, {garbage} of them garbage")


def _document(swept: Swept, *, applied: bool) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "removed": applied,
        "garbage": [
            {"type": type, "kind": kind.value, **asdict(tally)}
            for (type, kind), tally in sorted(swept.garbage.items(), key=lambda item: (item[0][0] or "", item[0][1]))
        ],
        "kept": asdict(swept.kept),
        "unknown": asdict(swept.unknown),
        "foreign": asdict(swept.foreign),
    }


def _show(session: CommandSession, swept: Swept, *, applied: bool) -> None:
    from jobkit.model.byte_size import byte_size

    rows = [
        (type or "-", kind.value, str(tally.count), byte_size(tally.bytes))
        for (type, kind), tally in sorted(swept.garbage.items(), key=lambda item: (item[0][0] or "", item[0][1]))
    ]
    if rows:
        session.out.table(("TYPE", "WHAT", "COUNT", "SIZE"), rows, whole="TYPE", right="COUNT SIZE")
    session.out.text(_summary(swept, applied=applied))
    if rows and not applied:
        session.out.note("nothing was changed; `jobkit sweep --apply` removes it")
    if swept.unknown.count:
        session.out.note(
            f"{_listed(swept.unknown)} of keys that the store knows nothing of: is it the store that goes with these "
            "files? If so, --unknown-keys counts them as garbage"
        )
    if swept.foreign.count:
        session.out.note(f"{_listed(swept.foreign)} that jobkit did not write, and does not touch")


def _summary(swept: Swept, *, applied: bool) -> str:
    from jobkit.ops.blob_garbage import Tally

    total = Tally()
    for tally in swept.garbage.values():
        total.count += tally.count
        total.bytes += tally.bytes
    verb = "removed" if applied else "garbage"
    return f"{verb}: {_listed(total)}; kept: {_listed(swept.kept)}"


def _listed(tally: Tally) -> str:
    from jobkit.model.byte_size import byte_size

    return f"{tally.count} file{'' if tally.count == 1 else 's'} ({byte_size(tally.bytes)})"
