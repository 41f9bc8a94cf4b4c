"""`jobkit topology`: what jobkit needs on a RabbitMQ server, and what of it is there.

Workers and submitters make what they need by themselves. This is for looking at what there is, and for having it all
there beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile

if TYPE_CHECKING:
    from jobkit.backends.rabbitmq.broker import RabbitBroker
    from jobkit.backends.rabbitmq.topology_check import Found
    from jobkit.cli.session import CommandSession


def topology(
    context: typer.Context,
    types: Annotated[
        list[str] | None, typer.Argument(metavar="[TYPE]...", help="The job types. Default: all there are.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Make what is missing; nothing is ever taken away.")] = False,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Show the exchanges and queues that job types need on RabbitMQ; exit 1 where one is missing or different."""
    import anyio

    from jobkit.cli.session import CommandSession

    session = CommandSession.begin(context, env_file, as_json=as_json)
    wanted = types or sorted(session.registry().processors)
    for type in wanted:
        session.registry().get(type)
    found = anyio.run(_look, session, wanted, apply)
    if as_json:
        session.out.document(
            [
                {
                    "kind": one.kind,
                    "name": one.name,
                    "state": one.state.value,
                    "messages": one.messages,
                    "problem": one.problem,
                    "arguments": dict(one.arguments),
                }
                for one in found
            ]
        )
    elif found:
        rows = [(one.kind, one.name, one.state.value, str(one.messages), one.problem or _listed(one)) for one in found]
        session.out.table(("KIND", "NAME", "STATE", "READY", "ARGUMENTS"), rows, whole="NAME", right="READY")
    else:
        session.out.note("no job types are installed, and JOBKIT_PLUGINS names none")
    if any(one.state.value != "there" for one in found):
        if not as_json:
            session.out.note("`jobkit topology --apply` makes what is missing")
        raise typer.Exit(1)


async def _look(session: CommandSession, types: Sequence[str], apply: bool) -> list[Found]:
    from jobkit.cli.session import within

    broker = _broker(session)
    partitions = session.settings.partitions
    found: list[Found] = []
    with within():
        try:
            for type in types:
                if apply:
                    await broker.declare(type, partitions)
                    await broker.enlist(type, partitions)
                found += await broker.look(type, partitions)
        finally:
            await broker.aclose()
    return found


def _broker(session: CommandSession) -> RabbitBroker:
    """Return the broker. Raises `ConfigurationError` where it is another one than RabbitMQ."""
    from jobkit.backends.registry import rabbitmq_broker
    from jobkit.errors import ConfigurationError

    url = session.settings.broker_url.get_secret_value()
    if not url.startswith(("amqp:", "amqps:")):
        raise ConfigurationError("JOBKIT_BROKER_URL: only RabbitMQ (amqp:, amqps:) has a topology; nothing to do here")
    try:
        return rabbitmq_broker(url, session.clock)
    except ConfigurationError as error:
        raise ConfigurationError(f"JOBKIT_BROKER_URL: {error}") from error


def _listed(found: Found) -> str:
    return ", ".join(f"{name.removeprefix('x-')}={value}" for name, value in found.arguments.items())
