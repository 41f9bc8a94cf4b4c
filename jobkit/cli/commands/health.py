"""`jobkit health`: ask the worker on this machine how it is, for a container's health check or a service manager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile

if TYPE_CHECKING:
    from jobkit.settings import Settings

# Below the usual patience of what runs health checks, so that it is this command that says what was wrong.
_PATIENCE_SECONDS = 5.0
_THIS_MACHINE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  (nothing listens here)


def health(
    context: typer.Context,
    ready: Annotated[
        bool, typer.Option("--ready", help="Ask whether it can work now, not only whether it is alive.")
    ] = False,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Ask the worker that listens on JOBKIT_HEALTH_PORT whether it is alive; exit 1 where it is not."""
    from jobkit.cli.options import globals_of
    from jobkit.cli.output import Output
    from jobkit.settings import load_settings

    settings = load_settings((*globals_of(context).env_files, *(env_file or ())))
    out = Output(as_json=as_json)
    healthy, answer = _ask(settings, "ready" if ready else "live")
    if as_json:
        out.document({"healthy": healthy, "answer": answer})
    else:
        out.text(answer)
    if not healthy:
        raise typer.Exit(1)


def _ask(settings: Settings, path: str) -> tuple[bool, str]:
    """Return whether the worker is healthy, and its answer. Raises `ConfigurationError` where no port is set."""
    import http.client

    from jobkit.errors import ConfigurationError

    if not settings.health_port:
        raise ConfigurationError("JOBKIT_HEALTH_PORT: name the worker's port here, too; without one it does not listen")
    host = _THIS_MACHINE.get(settings.health_host, settings.health_host)
    # Not urllib: it would ask a proxy that the environment names.
    connection = http.client.HTTPConnection(host, settings.health_port, timeout=_PATIENCE_SECONDS)
    try:
        connection.request("GET", f"/{path}")
        response = connection.getresponse()
        answer = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        # That is a finding, and the one that this command is for.
        return False, f"no answer on {host} port {settings.health_port}: {error or type(error).__name__}"
    finally:
        connection.close()
    return response.status == http.client.OK, answer
