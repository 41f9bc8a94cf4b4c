"""`jobkit web`: the dashboard, for people on call and for those whose job is late."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import EnvFile
from jobkit.errors import ConfigurationError

if TYPE_CHECKING:
    from jobkit.cli.session import CommandSession
    from jobkit.ports.planes import Planes
    from jobkit.settings import Settings


def web(
    context: typer.Context,
    host: Annotated[str | None, typer.Option("--host", help="On which address. Replaces JOBKIT_WEB_HOST.")] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65_535, help="On which port; 0 chooses one. Replaces JOBKIT_WEB_PORT."),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Change nothing, whoever asks.")] = False,
    env_file: EnvFile = None,
) -> None:
    """Show the dashboard in a browser, until Ctrl-C."""
    from dataclasses import replace

    from jobkit.cli.session import CommandSession

    session = CommandSession.begin(context, env_file, log_at_least="info")
    told = {"web_host": host, "web_port": port, "web_read_only": read_only or None}
    # Only checked fields are changed, so the copy needs no second validation.
    changed = {name: value for name, value in told.items() if value is not None}
    session = replace(session, settings=session.settings.model_copy(update=changed))
    _check_reach(session.settings)
    session.call(lambda planes: show(planes, session), limit=None)


def _check_reach(settings: Settings) -> None:
    """Raise `ConfigurationError` where strangers would be let in."""
    from jobkit.web.access import is_loopback

    named = settings.web_token or settings.web_viewer_token or settings.web_user_header
    if not named and not is_loopback(settings.web_host):
        raise ConfigurationError(
            f"JOBKIT_WEB_HOST={settings.web_host} is open to other machines: set JOBKIT_WEB_TOKEN, with which people "
            "sign in, or JOBKIT_WEB_USER_HEADER, by which a proxy names them"
        )


async def show(planes: Planes, session: CommandSession) -> None:
    """Serve the dashboard until signals end it."""
    import anyio

    from jobkit.distribution import install_hint
    from jobkit.worker.asgi_server import serving

    try:
        from jobkit.web.application import WebApplication
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"the dashboard needs more packages: {install_hint('web')}") from error
    settings = session.settings
    application = WebApplication(planes, session.registry(), settings, clock=session.clock)
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with serving(application, settings.web_host, settings.web_port, named="JOBKIT_WEB_PORT") as bound:
            host = f"[{settings.web_host}]" if ":" in settings.web_host else settings.web_host
            session.out.note(f"dashboard at http://{host}:{bound}/; Ctrl-C ends it")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(application.sample)
                async for _ in signals:
                    break
                tasks.cancel_scope.cancel()
