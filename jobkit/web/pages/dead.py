"""Dead letters: grouped by what went wrong, and each with its history."""

from __future__ import annotations

from jobkit.errors import JobkitError
from jobkit.ops.dead_letter_groups import LOOKED_AT, error_of, groups, letters_of
from jobkit.ports.inspection import DeadLetter
from jobkit.web.comparison import compared
from jobkit.web.masking import shown_payload
from jobkit.web.page import NotFound, Page, View

_PAGE = 100


async def make_list(view: View) -> Page:
    """Return the groups, or the letters of one of them."""
    type, error = view.said("type"), view.said("error")
    if type is None and error is None:
        found = await view.backstage.looks.look("dead", lambda: groups(view.planes.inspection))
        most = sum(group.count for group in found) >= LOOKED_AT
        return Page("dead.html", "Dead letters", {"groups": found, "most": LOOKED_AT if most else None})
    letters = await view.backstage.looks.look(
        ("dead", type, error), lambda: letters_of(view.planes.inspection, type, error)
    )
    shows = {"letters": letters[:_PAGE], "count": len(letters), "type": type, "error": error}
    return Page("dead_group.html", "Dead letters", shows)


async def make_letter(view: View) -> Page:
    """Return one letter."""
    number = view.path["number"]
    letter = await view.planes.inspection.dead_letter(int(number)) if number.isdecimal() and len(number) < 18 else None
    if letter is None:
        raise NotFound(f"There is no dead letter {number}: it was tried again, or deleted.")
    registry = view.backstage.registry
    return Page(
        "dead_letter.html",
        f"Dead letter {letter.number}",
        {
            "letter": letter,
            "payload": shown_payload(view.user, registry, letter.type or "", letter.raw),
            "fields": compared(view.user, registry, letter.type or "", letter.raw),
            "today": _objection(view, letter),
            "error": error_of(letter),
            "tracebacks": list(dict.fromkeys([*(one.traceback for one in letter.failures), letter.detail])),
        },
    )


def _objection(view: View, letter: DeadLetter) -> str | None:
    """Return what today's model of the payload says against it; None where it takes it."""
    try:
        processor, own = view.backstage.registry.addressed(letter.type or "", letter.raw)
        processor.parse(own)
    except JobkitError as error:
        return str(error)
    return None
