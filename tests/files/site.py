"""Files that real jobs have committed, on real embedded backends, and a client that reads them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from jobkit import Context, Payload, processor
from jobkit.backends.registry import open_planes
from jobkit.client import Client
from jobkit.model.blob import BlobSpace
from jobkit.model.blob_location import attempt_space
from jobkit.model.fence import Fence
from jobkit.ops.blob_garbage import sweep
from jobkit.plugin.blob_writer import BlobWriter
from jobkit.plugin.registry import Registry
from jobkit.ports.planes import Planes
from jobkit.ports.store import Committed, Effects, Opened
from jobkit.settings import Settings


class Film(Payload):
    """What the files are of."""

    key: str


@processor("film", key=lambda job: job.key)
async def film(job: Film, ctx: Context) -> None:
    """Only names the type here: the tests commit by themselves."""


@dataclass
class FileSite:
    """A client, and the planes below it."""

    client: Client
    planes: Planes
    scratch: Path
    _token: int = 0

    async def commit(self, files: Mapping[str, bytes], *, key: str = "k") -> str:
        """Have a job commit these files for a key, in place of those there were; return its id."""
        self._token += 1
        fence = Fence(self._token, f"nonce{self._token}", "me")
        submission = await self.client.submit("film", Film(key=key))
        job = self.client.job("film", Film(key=key), id=submission.id).envelope
        assert isinstance(await self.planes.store.open(job, fence), Opened)

        async def workdir() -> Path:
            return self.scratch / str(self._token)

        writer = BlobWriter(
            self.planes.blobs, attempt_space(BlobSpace("film", key, fence), 1), workdir, job_id=submission.id
        )
        for name, content in files.items():
            async with writer.create(name) as path:
                await anyio.Path(path).write_bytes(content)
        effects = Effects(result=b"null", blobs=tuple(writer.written))
        done = await self.planes.store.commit(job, fence, effects)
        assert isinstance(done, Committed)
        return submission.id

    async def sweep(self) -> None:
        """Remove what was replaced."""
        await sweep(self.planes, remove=True)


@asynccontextmanager
async def file_site(directory: Path) -> AsyncIterator[FileSite]:
    """Lend a site in `directory`."""
    database = f"sqlite:///{directory}/jobkit.db"
    settings = Settings(
        broker_url=database, coordinator_url=database, store_url=database, blobs_url=f"file://{directory}/blobs"
    )
    async with open_planes(settings) as planes:
        yield FileSite(Client(planes, Registry([film]), settings), planes, directory / "scratch")
