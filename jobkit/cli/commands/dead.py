"""`jobkit dead`: jobs and messages that failed for good, and what to do with them.

Letters are named by number, or by the id of their job. Digits alone are always a number.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile, Yes
from jobkit.errors import ConfigurationError, JobkitError, UniqueNameTaken

if TYPE_CHECKING:
    from jobkit.cli.session import CommandSession
    from jobkit.ports.inspection import DeadLetter, Inspection

app = typer.Typer(no_args_is_help=True, help="Show dead letters, try them again, or delete them.")

_PAGE = 500
# More digits than any letter's number has are nobody's, and no store could look for them.
_LETTER_NUMBER = re.compile(r"[0-9]{1,18}")

Names = Annotated[list[str] | None, typer.Argument(metavar="[NUMBER|ID]...", help="Which dead letters.")]
All = Annotated[bool, typer.Option("--all", help="All dead letters, or all of --type.")]
OfType = Annotated[str | None, typer.Option("--type", help="With --all: only those of this job type.")]


@app.command("list")
def list_(
    context: typer.Context,
    type: Annotated[str | None, typer.Option("--type", help="Only those of this job type.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many to show at most.")] = 100,
    after: Annotated[int, typer.Option("--after", min=0, max=10**18, help="Only those with a higher number.")] = 0,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """List dead letters, lowest number first."""
    from jobkit.cli.session import CommandSession
    from jobkit.cli.tables import DEAD_HEADINGS, dead_row
    from jobkit.ops.views import dead_view

    session = CommandSession.begin(context, env_file, as_json=as_json)
    found = session.ask(lambda plane: plane.inspection.dead(type=type, limit=limit, after=after))
    if as_json:
        session.out.document([dead_view(letter) for letter in found])
        return
    if not found:
        session.out.note("no dead letters" if (type, after) == (None, 0) else "no such dead letters")
        return
    now = session.clock.wall()
    rows = [dead_row(letter, now) for letter in found]
    session.out.table(DEAD_HEADINGS, rows, whole="NUMBER", right="NUMBER AGE TRIES")
    if len(found) == limit:
        session.out.note(f"there may be more: --after {found[-1].number}")


@app.command()
def show(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NUMBER|ID...", help="Which dead letters.")],
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Show dead letters whole: the reason, the history with tracebacks, and the body as it came."""
    from jobkit.cli.session import CommandSession
    from jobkit.ops.views import dead_view

    session = CommandSession.begin(context, env_file, as_json=as_json)
    letters = session.ask(lambda plane: _named(plane.inspection, names))
    if as_json:
        session.out.document([dead_view(letter) for letter in letters])
        return
    for place, letter in enumerate(letters):
        if place:
            session.out.text("")
        _show(session, letter)


@app.command()
def requeue(
    context: typer.Context,
    names: Names = None,
    all_: All = False,
    type: OfType = None,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Try dead letters again, with a fresh count of attempts."""
    from jobkit.cli.session import CommandSession

    session = CommandSession.begin(context, env_file, as_json=as_json)
    _checked_choice(names, all_, type)

    chosen = session.ask(lambda plane: _chosen(session, plane.inspection, names, type))
    refusals = session.for_each(chosen, _requeue)
    done = [number for number, refusal in zip(chosen, refusals, strict=True) if refusal is None]
    refused = [number for number, refusal in zip(chosen, refusals, strict=True) if refusal is not None]
    if as_json:
        session.out.document({"requeued": done, "refused": refused})
    else:
        session.out.note(f"{_letters(len(done))} will be tried again")
    if refused:
        raise JobkitError("\n".join(_refused(dict(zip(chosen, refusals, strict=True)))))


async def _requeue(inspection: Inspection, number: int) -> str | None:
    """Try one dead letter again; return why it cannot be."""
    try:
        return None if await inspection.requeue_dead(number) is not None else "no job that could run can be made of it"
    except UniqueNameTaken as error:
        return f"job {error.holder} holds its unique name"


def _refused(refusals: Mapping[int, str | None]) -> Iterator[str]:
    """Yield a line for each reason why letters cannot be tried again, with their numbers."""
    for reason in dict.fromkeys(refusal for refusal in refusals.values() if refusal is not None):
        numbers = ", ".join(str(number) for number, refusal in refusals.items() if refusal == reason)
        yield f"not requeued, since {reason}: {numbers}"


@app.command()
def purge(
    context: typer.Context,
    names: Names = None,
    all_: All = False,
    type: OfType = None,
    yes: Yes = False,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Delete dead letters for good. Their ids stay known, so the same job is still not done again."""
    from jobkit.cli.session import CommandSession, confirm

    session = CommandSession.begin(context, env_file, as_json=as_json)
    _checked_choice(names, all_, type)
    chosen = session.ask(lambda plane: _chosen(session, plane.inspection, names, type))
    if chosen:
        confirm(f"Delete {_letters(len(chosen))} for good?", yes=yes)

    existed = session.for_each(chosen, lambda inspection, number: inspection.purge_dead(number))
    purged = [number for number, did in zip(chosen, existed, strict=True) if did]
    if as_json:
        session.out.document({"purged": purged})
    else:
        session.out.note(f"{_letters(len(purged))} deleted")


def _checked_choice(names: list[str] | None, all_: bool, type: str | None) -> None:
    if bool(names) == all_:
        raise ConfigurationError("name dead letters by number or id, or say --all")
    if type is not None and not all_:
        raise ConfigurationError("--type goes with --all")


async def _chosen(
    session: CommandSession, inspection: Inspection, names: list[str] | None, type: str | None
) -> list[int]:
    """Return the numbers of the letters that are named, or all of `type`. Raises `UnknownType` where nobody knows that.

    They are collected before any is touched: one that is requeued may die again, under a higher number.
    """
    if not names:
        found = [letter.number async for letter in _every(inspection, type)]
        if type is not None and not found:
            from jobkit.client.known_scopes import check_type

            await check_type(inspection, session.registry, type)
        return found
    numbers = []
    for name in names:
        letters = await _named(inspection, [name])
        if len(letters) > 1:
            known = ", ".join(str(letter.number) for letter in letters)
            raise ConfigurationError(f"job {name!r} has several dead letters; name one by its number: {known}")
        numbers.append(letters[0].number)
    return list(dict.fromkeys(numbers))


async def _named(inspection: Inspection, names: list[str]) -> list[DeadLetter]:
    """Return the letters that `names` name. Raises `JobkitError` where one names none."""
    found: list[DeadLetter] = []
    for name in names:
        if _LETTER_NUMBER.fullmatch(name):
            letter = await inspection.dead_letter(int(name))
            letters = [] if letter is None else [letter]
        else:
            letters = list(await inspection.letters(name))
        if not letters:
            raise JobkitError(f"no dead letter {name!r}; `jobkit dead list` shows those there are")
        found.extend(letters)
    return found


async def _every(inspection: Inspection, type: str | None) -> AsyncIterator[DeadLetter]:
    after = 0
    while page := await inspection.dead(type=type, limit=_PAGE, after=after):
        for letter in page:
            yield letter
        after = page[-1].number


def _show(session: CommandSession, letter: DeadLetter) -> None:
    from jobkit.cli.output import moment, plain
    from jobkit.cli.tables import failure_fields

    now = session.clock.wall()
    session.out.fields(
        [
            ("number", str(letter.number)),
            ("id", letter.id or "-"),
            ("type", letter.type or "-"),
            ("key", letter.key or "-"),
            ("sequence", "-" if letter.sequence is None else str(letter.sequence)),
            ("reason", letter.reason),
            *((f"header {name}", value) for name, value in letter.headers.items()),
            ("died", moment(letter.died_at, now)),
            *failure_fields(letter.failures, now),
            ("body", letter.raw.decode(errors="backslashreplace")),
        ]
    )
    # A letter that ended by an exception repeats its last attempt's traceback; once is enough to read.
    tracebacks = dict.fromkeys([*(failure.traceback for failure in letter.failures), letter.detail])
    for text in tracebacks:
        for line in text.splitlines():
            session.out.text(f"  {plain(line)}")


def _letters(count: int) -> str:
    return "1 dead letter" if count == 1 else f"{count} dead letters"
