"""`jobkit migrate`: make or bring up to date the tables of a store that does not do so by itself."""

from __future__ import annotations

import typer

from jobkit.cli.options import AsJson, EnvFile


def migrate(context: typer.Context, as_json: AsJson = False, env_file: EnvFile = None) -> None:
    """Bring the store's tables up to date; any number of processes may do so at once."""
    import anyio

    from jobkit.backends.registry import migrate_store
    from jobkit.cli.session import CommandSession

    session = CommandSession.begin(context, env_file, as_json=as_json)
    applied = anyio.run(migrate_store, session.settings)
    if as_json:
        session.out.document({"applied": list(applied or ())})
    elif applied is None:
        session.out.text("nothing to do: this kind of store makes its tables when it is first used")
    elif not applied:
        session.out.text("nothing to do: the tables are up to date")
    else:
        session.out.text("\n".join(f"applied {name}" for name in applied))
