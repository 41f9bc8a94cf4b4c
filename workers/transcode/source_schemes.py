"""The kinds of places that sources come from, by scheme. What one of them takes is imported when it is asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module

from jobkit import Reject
from workers.transcode.fetching import FetchedSource, Remotes
from workers.transcode.job_tools import Bench
from workers.transcode.settings import TranscodeSettings
from workers.transcode.source import FileSource, OpenSource, Source, shown_reference

_MIB = 2**20


def sources_of(bench: Bench) -> Mapping[str, Source]:
    """Return the kinds of places that a worker may read sources of, by scheme."""
    settings = bench.settings
    found: dict[str, Source] = {"file": FileSource(settings.source_roots)}
    if settings.source_hosts:
        found["https"] = _Lazy(bench, "https_source", "HttpsRemotes", "webhook")
        if settings.source_http:
            found["http"] = found["https"]
    if settings.source_buckets:
        found["s3"] = _Lazy(bench, "s3_source", "S3Remotes", "s3")
    return found


@dataclass(frozen=True, slots=True)
class _Lazy:
    """A kind of place whose module needs packages of an extra."""

    bench: Bench
    module: str
    name: str
    extra: str

    @asynccontextmanager
    async def open(self, reference: str) -> AsyncIterator[OpenSource]:
        try:
            make: Callable[[TranscodeSettings], Remotes] = getattr(
                import_module(f"workers.transcode.{self.module}"), self.name
            )
        except ImportError as error:
            raise Reject(
                f"source {shown_reference(reference)}: this worker lacks the package {error.name}: "
                f"pip install 'jobkit-fenced[{self.extra}]'"
            ) from error
        settings = self.bench.settings
        fetched = FetchedSource(
            make(settings),
            self.bench.directory,
            settings.max_source_mb * _MIB,
            settings.fetch_timeout,
            self.bench.ctx.clock,
        )
        async with fetched.open(reference) as source:
            yield source
