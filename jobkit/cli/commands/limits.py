"""`jobkit limits`: what limits are in use, who has them, and how much waits for them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile

_PAGE = 500

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobkit.ports.limits import LimitInfo, Waiting
    from jobkit.ports.planes import Planes


def limits(
    context: typer.Context,
    prefix: Annotated[
        str, typer.Option("--prefix", help="Only limits whose name, with its key, starts with this: `tenant/`.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many to show at most.")] = 100,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """List the limits in use: how much of each is taken, by which jobs, and how many in workers' hands wait for it.

    Those behind them in the queues, or set aside in the store, are not counted.
    """
    from jobkit.cli.session import CommandSession
    from jobkit.cli.tables import LIMIT_HEADINGS, limit_row
    from jobkit.ops.views import limit_view

    session = CommandSession.begin(context, env_file, as_json=as_json)
    used, told = session.call(lambda planes: _ask(planes, prefix, limit))
    waiting: Counter[str] = Counter()
    for one in told:
        waiting[one.bucket] += one.number
    if as_json:
        session.out.document([limit_view(one, waiting[one.limit.bucket]) for one in used[:limit]])
    elif used:
        rows = [limit_row(one, waiting[one.limit.bucket]) for one in used[:limit]]
        session.out.table(LIMIT_HEADINGS, rows, whole="LIMIT", right="USED WAITING")
        if len(used) > limit:
            session.out.note(f"the first {limit} by their names only; --limit shows more")
    else:
        session.out.note("no limits are in use" if not prefix else f"no limits in use under {prefix!r}")


async def _ask(planes: Planes, prefix: str, limit: int) -> tuple[list[LimitInfo], Sequence[Waiting]]:
    """Return one limit more than are shown, where there are so many; and what waits."""
    found: list[LimitInfo] = []
    after = ""
    while page := await planes.coordinator.limits(prefix, after=after, limit=min(_PAGE, limit + 1 - len(found))):
        found += page
        after = page[-1].limit.bucket
        if len(found) > limit:
            break
    return found, await planes.coordinator.waiting()
