"""Can this machine transcode at all? Asked by `jobkit doctor`, and when a worker starts."""

from __future__ import annotations

import os
from collections.abc import Sequence, Set

from anyio import to_thread
from pydantic import ValidationError

from workers.transcode.asking import ask, reason
from workers.transcode.ffmpeg import find_ffmpeg, missing_ffmpeg
from workers.transcode.key_sources import key_source_problem
from workers.transcode.packager import packager_problem
from workers.transcode.probe import probe_command
from workers.transcode.profile import known_profiles
from workers.transcode.settings import TranscodeSettings

_ENCODERS = ("libx264", "aac", "mjpeg")


async def check() -> Sequence[str]:
    """Return what is wrong here, a sentence each."""
    return await _problems(encrypts=True)


async def check_for_chunks() -> Sequence[str]:
    """Return what is wrong here for who encodes chunks only, which takes no keys."""
    return await _problems(encrypts=False)


async def _problems(*, encrypts: bool) -> list[str]:
    try:
        settings = TranscodeSettings()
    except ValidationError as error:
        return [f"JOBKIT_TRANSCODE_{'_'.join(map(str, item['loc'])).upper()}: {item['msg']}" for item in error.errors()]
    problems = [*_root_problems(settings), *await to_thread.run_sync(_profile_problems, settings, encrypts)]
    return [*problems, *await _ffmpeg_problems(settings), *await _pyav_problems(settings)]


def _profile_problems(settings: TranscodeSettings, encrypts: bool) -> list[str]:
    try:
        profiles = known_profiles(settings)
    except (OSError, ValueError) as error:
        return [f"JOBKIT_TRANSCODE_PROFILES: {error}"]
    asked = {settings.encryption, *(each.encryption for each in profiles.values())} - {None}
    problems = _key_problems(settings, asked) if encrypts else []
    if settings.profile not in profiles:
        known = ", ".join(sorted(profiles))
        problems.append(f"JOBKIT_TRANSCODE_PROFILE names {settings.profile!r}, and there are {known}")
    return problems


def _key_problems(settings: TranscodeSettings, asked: Set[str | None]) -> list[str]:
    """Tell what keeps packages from being encrypted as the settings and the profiles have asked for."""
    found = [_source_problem(settings)]
    if asked and settings.key_source is None:
        found.append("packages are to be encrypted, and JOBKIT_TRANSCODE_KEY_SOURCE names no key source")
    if settings.packager is not None or asked & {"cenc", "cbcs"}:
        found.append(packager_problem(settings.packager))
    return [problem for problem in found if problem is not None]


def _source_problem(settings: TranscodeSettings) -> str | None:
    try:
        return key_source_problem(settings)
    except Exception as error:  # noqa: BLE001  (an operator's own module may raise anything)
        named = f"JOBKIT_TRANSCODE_KEY_SOURCE names {settings.key_source!r}"
        return f"{named}, which cannot be imported: {type(error).__name__}: {error}"


def _root_problems(settings: TranscodeSettings) -> list[str]:
    if not settings.source_roots:
        return ["JOBKIT_TRANSCODE_SOURCE_ROOTS is empty: every source is refused until it names directories"]
    return [
        f"JOBKIT_TRANSCODE_SOURCE_ROOTS names {str(root)!r}, which is not a directory that can be read"
        for root in settings.source_roots
        if not (root.is_dir() and os.access(root, os.R_OK | os.X_OK))
    ]


async def _ffmpeg_problems(settings: TranscodeSettings) -> list[str]:
    binary = find_ffmpeg(settings.ffmpeg)
    if binary is None:
        return [missing_ffmpeg(settings.ffmpeg)]
    code, said = await ask([str(binary), "-hide_banner", "-v", "error", "-encoders"], settings)
    if code != 0:
        return [f"{binary} does not run: {reason(code, said)}"]
    names = {words[1] for words in map(str.split, said.splitlines()) if len(words) > 1}
    return [f"{binary} has no encoder {name}" for name in _ENCODERS if name not in names]


async def _pyav_problems(settings: TranscodeSettings) -> list[str]:
    # In a process of its own, like all that decodes: a broken wheel does not raise, it crashes.
    code, said = await ask(probe_command(["[]"]), settings)
    if code == 0:
        return []
    return [f"PyAV does not work, install jobkit's 'transcode' extra: {reason(code, said)}"]
