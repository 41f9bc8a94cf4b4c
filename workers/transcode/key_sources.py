"""Where keys come from: a key server that the worker's settings name, or a function of the operator's own."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import cast

from jobkit import Reject
from workers.transcode.content_key import ContentKey, Encryption, KeySource, PackageKey, key_request
from workers.transcode.packager import packager_problem
from workers.transcode.settings import TranscodeSettings

# What encrypting takes, and asking a key server.
_PACKAGES = ("cryptography", "aiohttp")


async def ask_key(settings: TranscodeSettings, video_id: str, job_id: str, encryption: Encryption) -> PackageKey:
    """Ask for the key of a job's package. Raises `Reject` where there can be none, and what the source raises."""
    problem = key_source_problem(settings)
    if settings.key_source is None or problem is not None:
        raise Reject(f"the package cannot be encrypted: {problem or 'JOBKIT_TRANSCODE_KEY_SOURCE names no key source'}")
    request = key_request(video_id, job_id, encryption)
    missing = packager_problem(settings.packager) if request.in_dash else None
    if missing is not None:
        raise Reject(f"the package cannot be encrypted: {missing}")
    found = await _source(settings, settings.key_source)(request)
    if not isinstance(found, ContentKey):
        raise Reject(f"the key source {settings.key_source} gave a {type(found).__name__}, which is no ContentKey")
    return PackageKey(request, found)


def key_source_problem(settings: TranscodeSettings) -> str | None:
    """Return what keeps this worker from asking for keys, in words; None where nothing does, or none is to be asked."""
    if settings.key_source is None:
        return None
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        return f"this worker lacks the package {missing[0]}: pip install 'jobkit-fenced[encryption]'"
    try:
        _source(settings, settings.key_source)
    except (ImportError, AttributeError) as error:
        return f"JOBKIT_TRANSCODE_KEY_SOURCE names {settings.key_source!r}, which cannot be imported: {error}"
    return None


def _source(settings: TranscodeSettings, named: str) -> KeySource:
    if "://" in named:
        from workers.transcode.key_server import KeyServer  # it takes packages of an extra

        return KeyServer(named, settings.key_token)
    module, _, name = named.partition(":")
    return cast(KeySource, getattr(import_module(module), name))
