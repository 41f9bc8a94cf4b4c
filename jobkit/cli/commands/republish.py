"""`jobkit republish`: publishes jobs again whose messages the broker lost, at once."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile, Yes
from jobkit.errors import ConfigurationError, JobkitError

if TYPE_CHECKING:
    from jobkit.cli.session import CommandSession
    from jobkit.ops.republish import Republished
    from jobkit.ports.planes import StorePlane


def republish(
    context: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="The jobs.")] = None,
    type: Annotated[
        str | None, typer.Option("--type", metavar="T", help="All jobs of this type that have yet to end.")
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Publish jobs again whose messages the broker lost. Workers do so by themselves, a minute or two later."""
    from jobkit.cli.session import CommandSession, confirm
    from jobkit.ops.republish import republish_jobs

    if bool(ids) == (type is not None):
        raise ConfigurationError("name jobs by their ids, or say --type T for all of a type")
    session = CommandSession.begin(context, env_file, as_json=as_json)
    if type is not None:
        confirm(f"Publish all jobs of type {type} again that have yet to end?", yes=yes)
        done = _republish_all(session, type)
    else:
        wanted = ids or []
        done = session.ask(lambda plane: republish_jobs(plane.inspection, wanted))
    if as_json:
        session.out.document(asdict(done))
    else:
        for one in done.left:
            session.out.note(f"{one.id} is {one.why}: left as it is")
        number = "1 job is" if done.jobs == 1 else f"{done.jobs} jobs are"
        session.out.note(f"{number} in the outbox again, from which a worker publishes them within seconds")
    if unknown := [one.id for one in done.left if one.why == "unknown"]:
        raise JobkitError(f"not known here: {', '.join(unknown)}")


def _republish_all(session: CommandSession, type: str) -> Republished:
    from jobkit.client.known_scopes import check_type
    from jobkit.ops.republish import republish_type

    async def republish(plane: StorePlane) -> Republished:
        done = await republish_type(plane, type)
        if not done.jobs:
            await check_type(plane.inspection, session.registry, type)
        return done

    return session.ask(republish, limit=None)
