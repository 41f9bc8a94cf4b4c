"""`jobkit state`: what a key's log adds up to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobkit.cli.options import AsJson, EnvFile

if TYPE_CHECKING:
    from jobkit.ports.planes import StorePlane


def state(
    context: typer.Context,
    type: Annotated[str, typer.Argument(help="The job type.")],
    key: Annotated[str, typer.Argument(help="The key.")],
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Show one key: its projections, its mark, and how far its sequences and its log go."""
    from jobkit.cli.session import CommandSession
    from jobkit.errors import ConfigurationError

    session = CommandSession.begin(context, env_file, as_json=as_json)
    projections = session.registry().projections_of(type)

    async def read(plane: StorePlane) -> dict[str, Any] | None:
        record = await plane.inspection.key(type, key)
        if record is None:
            return None
        kept = {one.name: one.load(await plane.store.record(type, key, one.record)) for one in projections}
        return {
            "type": type,
            "key": key,
            "token": record.token,
            "owner": record.owner,
            "submitted_sequence": record.submitted_sequence,
            "committed_sequence": record.committed_sequence,
            "log_length": record.log_length,
            "files": [blob.name for blob in record.manifest],
            "projections": {
                name: None if one is None else {"position": one.position, "state": one.state.model_dump(mode="json")}
                for name, one in kept.items()
            },
        }

    found = session.ask(read)
    if found is None:
        raise ConfigurationError(f"the store knows nothing of the key {key!r} of job type {type!r}")
    if as_json:
        session.out.document(found)
        return
    shown = found.pop("projections")
    pairs = [(name, json.dumps(value, ensure_ascii=False)) for name, value in found.items() if value not in ("", [])]
    for name, one in shown.items():
        what = "not kept: `jobkit rebuild` makes it" if one is None else json.dumps(one["state"], ensure_ascii=False)
        pairs.append((name, what))
    session.out.fields((name, value.strip('"')) for name, value in pairs)
