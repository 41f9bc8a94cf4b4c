"""`jobkit migrate`: make or bring up to date the tables of a store that does not do so by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from jobkit.cli.options import AsJson, EnvFile

if TYPE_CHECKING:
    from collections.abc import Sequence

_POSTGRES = ("postgresql", "postgres")


def migrate(context: typer.Context, as_json: AsJson = False, env_file: EnvFile = None) -> None:
    """Bring the store's tables up to date; any number of processes may do so at once."""
    from jobkit.cli.session import CommandSession

    session = CommandSession.begin(context, env_file, as_json=as_json)
    url = session.settings.store_url.get_secret_value()
    needed = url.partition(":")[0] in _POSTGRES
    applied = _migrate_postgres(url) if needed else []
    if as_json:
        session.out.document({"applied": list(applied)})
    elif not needed:
        session.out.text("nothing to do: this kind of store makes its tables when it is first used")
    elif not applied:
        session.out.text("nothing to do: the tables are up to date")
    else:
        session.out.text("\n".join(f"applied {name}" for name in applied))


def _migrate_postgres(url: str) -> Sequence[str]:
    import anyio

    from jobkit.distribution import install_hint
    from jobkit.errors import ConfigurationError

    try:
        from jobkit.backends.postgres import address, migrations
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"PostgreSQL needs one more package: {install_hint('postgres')}") from error
    try:
        applied = anyio.run(migrations.migrate, address.parse_address(url))
    except ConfigurationError as error:
        raise ConfigurationError(f"JOBKIT_STORE_URL: {error}") from error
    return [migration.name for migration in applied]
