"""`jobkit files`: what jobs have committed, for people, scripts and browsers."""

from __future__ import annotations

import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile
from jobkit.errors import ConfigurationError, JobkitError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from jobkit.cli.session import CommandSession
    from jobkit.files import CommittedFile, FileLinks, FileSet
    from jobkit.ports.planes import Planes

    T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="List, fetch and serve the files that jobs have committed.")

Type = Annotated[str, typer.Argument(help="The job type; of a group, the group's name.")]
Key = Annotated[str, typer.Argument(help="The key.")]
Name = Annotated[str, typer.Argument(help="The file's name, as `jobkit files list` shows it.")]


@app.command("list")
def list_files(context: typer.Context, type: Type, key: Key, as_json: AsJson = False, env_file: EnvFile = None) -> None:
    """List the committed files of a key."""
    from jobkit.cli.session import CommandSession
    from jobkit.ops.views import file_view

    session = CommandSession.begin(context, env_file, as_json=as_json)
    found = _files(session, type, key, _same)
    if as_json:
        session.out.document([file_view(file) for file in found])
        return
    rows = [(file.name, f"{file.size:,}", file.media_type, file.job_id, file.sha256) for file in found]
    session.out.table(("NAME", "BYTES", "MEDIA TYPE", "JOB", "SHA-256"), rows, whole="NAME", right="BYTES")


@app.command("get")
def get(
    context: typer.Context,
    type: Type,
    key: Key,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Default: all of them.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The directory to write into, or - for one file to standard output."),
    ] = None,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Fetch committed files. Each is whole, or what was there before."""
    from jobkit.cli.session import CommandSession
    from jobkit.ops.views import file_view

    session = CommandSession.begin(context, env_file, as_json=as_json)
    if output == Path("-"):
        if names is None or len(names) != 1:
            raise ConfigurationError("only one file goes to standard output: name it")
        _files(session, type, key, lambda files: _print(files, names[0]))
        return
    directory = output or Path()

    async def fetch(files: FileSet) -> list[tuple[CommittedFile, Path]]:
        wanted = [files.named(name) for name in names] if names else files
        return [(file, await _fetch(files, file.name, directory)) for file in wanted]

    fetched = _files(session, type, key, fetch)
    if as_json:
        session.out.document([{**file_view(file), "path": str(path)} for file, path in fetched])
        return
    for file, path in fetched:
        session.out.note(f"{path} ({file.size:,} bytes)")


@app.command("url")
def url(
    context: typer.Context,
    type: Type,
    key: Key,
    name: Name,
    minutes: Annotated[float, typer.Option("--minutes", min=1, max=10_080, help="For how long it is good.")] = 60,
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="URL", help="Where `jobkit files serve`, or your application, gives files out."),
    ] = None,
    env_file: EnvFile = None,
) -> None:
    """Print a link to a committed file that needs no login, and ends."""
    from jobkit.cli.session import CommandSession

    session = CommandSession.begin(context, env_file)
    good_for = timedelta(minutes=minutes)
    if base is not None:
        if session.settings.files_secret is None:
            raise ConfigurationError("set JOBKIT_FILES_SECRET, here and where the files are given out: it signs links")
        _files(session, type, key, lambda files: _named(files, name))
        session.out.text(f"{base.rstrip('/')}{_links(session).path(type, key, name, expires_in=good_for)}")
        return
    link = _files(session, type, key, lambda files: files.url(name, expires_in=good_for))
    if link is None:
        raise ConfigurationError(
            "the files lie in a directory, which has no links of its own: run `jobkit files serve` and say --base URL"
        )
    session.out.text(link)


@app.command("serve")
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option("--host", help="On which address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="On which port; 0 chooses one.")] = 8081,
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody read every file, not only those with a signed link.")
    ] = False,
    origins: Annotated[
        list[str] | None,
        typer.Option("--origin", help="A site whose pages may read them (CORS); * for all. Repeatable."),
    ] = None,
    env_file: EnvFile = None,
) -> None:
    """Give committed files out over HTTP, at /files/TYPE/KEY/NAME, until Ctrl-C."""
    import anyio
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from jobkit.cli.session import CommandSession
    from jobkit.files import FileReader, FilesApplication, everyone
    from jobkit.worker.asgi_server import serving

    session = CommandSession.begin(context, env_file, log_at_least="info")
    if not public and session.settings.files_secret is None:
        raise ConfigurationError("set JOBKIT_FILES_SECRET, which signs links, or say --public to let everybody read")

    async def until_told(planes: Planes) -> None:
        files = FilesApplication(
            FileReader(planes.inspection, planes.blobs),
            access=everyone if public else None,
            links=_links(session),
            origins=origins or (),
        )
        application = Starlette(routes=[Mount("/files", app=files)])
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with serving(application, host, port, named=f"--port {port}") as bound:
                session.out.note(f"files at http://{host}:{bound}/files/TYPE/KEY/NAME; Ctrl-C ends it")
                async for _ in signals:
                    break

    session.call(until_told, limit=None)


def _files(session: CommandSession, type: str, key: str, use: Callable[[FileSet], Awaitable[T]]) -> T:
    """Return what `use` makes of the files of a key. Raises `JobkitError` where it has none."""
    from jobkit.files import FileReader

    async def ask(planes: Planes) -> T:
        found = await FileReader(planes.inspection, planes.blobs).files(type, key)
        if not found:
            raise JobkitError(f"no files are committed for the key {key!r} of job type {type!r}")
        return await use(found)

    # A film on a slow line takes as long as it takes.
    return session.call(ask, limit=None)


async def _same(files: FileSet) -> FileSet:
    return files


async def _named(files: FileSet, name: str) -> None:
    files.named(name)


async def _fetch(files: FileSet, name: str, directory: Path) -> Path:
    path = directory / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        await files.download(name, path)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from error
    return path


async def _print(files: FileSet, name: str) -> None:
    async with files.open(name) as file:
        async for chunk in file:
            sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def _links(session: CommandSession) -> FileLinks:
    from jobkit.files import FileLinks

    secret = session.settings.files_secret
    return FileLinks(None if secret is None else secret.get_secret_value(), clock=session.clock)
