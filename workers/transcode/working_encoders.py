"""What this worker can encode: profiles are read and their encoders tried once, before the first job."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from jobkit import Reject, resource
from workers.transcode.asking import ask
from workers.transcode.encoder_trial import Tool, tool_problem, trial_problem
from workers.transcode.encoders import ENCODERS, HARDWARE, LIBX264, SOFTWARE, Coding, Encoder
from workers.transcode.errors import FfmpegFailed
from workers.transcode.ffmpeg import find_ffmpeg, required_ffmpeg
from workers.transcode.profile import Profile, VideoProfile, known_profiles
from workers.transcode.renditions import Way, way
from workers.transcode.settings import TranscodeSettings
from workers.transcode.sound_codecs import PLAIN_SOUND, SoundCodec, SoundCoding

# How long the doctor waits for what can be encoded.
_TRYING_SECONDS = 4.0

Trial = Callable[[Path, Coding, TranscodeSettings], Awaitable[str | None]]
ToolTrial = Callable[[Path, Tool, TranscodeSettings], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class ChosenProfile:
    """A profile as this worker can make it. `label` is its name and version."""

    label: str
    settings: TranscodeSettings
    ways: tuple[Way, ...]
    warnings: tuple[str, ...]
    sounds: tuple[SoundCoding, ...] = (PLAIN_SOUND,)


class WorkingEncoders:
    """The profiles of a worker, and which encoders work for them; each is tried once."""

    def __init__(
        self,
        settings: TranscodeSettings,
        profiles: Mapping[str, Profile],
        trial: Trial = trial_problem,
        tool_trial: ToolTrial = tool_problem,
    ) -> None:
        self._settings = settings
        self._profiles = profiles
        self._trial = trial
        self._tool_trial = tool_trial
        self._tried: dict[tuple[str, bool], str | None] = {}
        self._tools: dict[Tool, str | None] = {}
        self._trying = anyio.Lock()
        self._devices = {
            encoder.device: anyio.Semaphore(settings.device_jobs) for encoder in ENCODERS.values() if encoder.device
        }

    async def try_all(self) -> None:
        """Try the encoders of all profiles."""
        for profile in self._profiles.values():
            for video in profile.video:
                await self._pick(video)
                if video.aim is not None:
                    await self._tool_problem(Tool.VMAF)
            await self._sounds(profile)

    async def choose(self, name: str | None) -> ChosenProfile:
        """Return the profile of a name, or of the settings'.

        Raises `Reject` where there is none, `FfmpegFailed` where this worker cannot make what is for everybody.
        """
        wanted = name or self._settings.profile
        profile = self._profiles.get(wanted)
        if profile is None:
            known = ", ".join(sorted(self._profiles))
            raise Reject(f"there is no profile {wanted!r} here: JOBKIT_TRANSCODE_PROFILES has {known}")
        ways: list[Way] = []
        warnings: list[str] = []
        for number, video in enumerate(profile.video):
            coding, problem = await self._pick(video)
            if coding is not None:
                unmeasured = None if video.aim is None else await self._tool_problem(Tool.VMAF)
                ways.append(way(profile, video, coding, measured=unmeasured is None))
                if unmeasured is not None:
                    warnings.append(
                        f"VMAF cannot be measured here ({unmeasured}): {video.codec} has quality {coding.level} "
                        f"instead of a score of {video.vmaf:g}"
                    )
            elif number == 0:
                raise FfmpegFailed(
                    f"this worker cannot encode {video.codec}, which profile {wanted} is built on: {problem}"
                )
            if problem is not None:
                warnings.append(problem)
        sounds, told = await self._sounds(profile)
        settings = profile.over(self._settings)
        return ChosenProfile(f"{wanted}@{profile.version}", settings, tuple(ways), (*warnings, *told), sounds)

    @asynccontextmanager
    async def on_devices(self, ways: Sequence[Way]) -> AsyncIterator[None]:
        """Hold a place on each kind of hardware that is encoded on, for as long as the block runs."""
        devices = sorted({each.coding.encoder.device for each in ways if each.coding.encoder.device is not None})
        async with AsyncExitStack() as places:
            # In one order, so that no two jobs wait for each other.
            for device in devices:
                await places.enter_async_context(self._devices[device])
            yield

    async def _pick(self, video: VideoProfile) -> tuple[Coding | None, str | None]:
        """Return the first way of coding that works, and what a submitter should know of it."""
        hdr = video.hdr == "keep"
        preset, level = video.preset_over(self._settings), video.quality_over(self._settings)
        first: str | None = None
        for encoder in _candidates(video):
            coding = Coding(encoder, preset, level, hdr)
            problem = await self._problem(coding)
            if problem is None:
                told = first if video.encoder in ENCODERS else None
                return (
                    coding,
                    None if told is None else f"{video.encoder} does not work here ({told}); {encoder.name} was used",
                )
            first = first or problem
        return None, f"renditions in {video.codec} are left out, as this worker cannot make them: {first}"

    async def _sounds(self, profile: Profile) -> tuple[tuple[SoundCoding, ...], tuple[str, ...]]:
        """Return the ways of coding sound that work, and what a submitter should know of the others."""
        codings = [each.coding for each in profile.audio]
        if all(each.codec is SoundCodec.AAC for each in codings):
            # A worker that has none does not start.
            return tuple(codings), ()
        problem = await self._tool_problem(Tool.OPUS)
        if problem is None:
            return tuple(codings), ()
        left = tuple(each for each in codings if each.codec is SoundCodec.AAC)
        return left, (f"sound in opus is left out, as this worker cannot make it: {problem}",)

    async def _tool_problem(self, tool: Tool) -> str | None:
        async with self._trying:
            if tool not in self._tools:
                binary = required_ffmpeg(self._settings.ffmpeg)
                self._tools[tool] = await self._tool_trial(binary, tool, self._settings)
            return self._tools[tool]

    async def _problem(self, coding: Coding) -> str | None:
        encoder = coding.encoder
        if encoder is LIBX264:
            # A worker that has none does not start.
            return None
        if encoder.formats[coding.hdr] is None:
            return f"{encoder.name} does not take pictures of 10 bits"
        async with self._trying:
            key = (encoder.name, coding.hdr)
            if key not in self._tried:
                binary = required_ffmpeg(self._settings.ffmpeg)
                self._tried[key] = await self._trial(binary, coding, self._settings)
            return self._tried[key]


def _candidates(video: VideoProfile) -> list[Encoder]:
    software = SOFTWARE[video.codec]
    if video.encoder == "software":
        return [software]
    if video.encoder == "auto":
        return [*HARDWARE[video.codec], software]
    return list(dict.fromkeys([ENCODERS[video.encoder], software]))


@resource
async def working_encoders(settings: TranscodeSettings) -> AsyncIterator[WorkingEncoders]:
    """Read the profiles and try their encoders."""
    encoders = WorkingEncoders(settings, await anyio.to_thread.run_sync(known_profiles, settings))
    await encoders.try_all()
    yield encoders


async def abilities() -> Sequence[str]:
    """Return what this machine can encode, a sentence for each format; hardware is tried as well.

    Who asks waits for it, so what is not tried within a few seconds is told as that.
    """
    return await abilities_within(_TRYING_SECONDS)


async def abilities_within(seconds: float) -> Sequence[str]:
    """As `abilities`, within so many seconds."""
    settings = TranscodeSettings()
    binary = find_ffmpeg(settings.ffmpeg)
    if binary is None:
        return []
    _, listed = await ask([str(binary), "-hide_banner", "-v", "error", "-encoders"], settings)
    names = {word for line in listed.splitlines() for word in line.split()[1:2]}
    found = [encoder for encoder in ENCODERS.values() if encoder.name in names]
    told: list[tuple[Encoder, str, str | None]] = []
    tools: dict[Tool, str | None] = {}
    with anyio.move_on_after(seconds):
        for tool in Tool:
            tools[tool] = await tool_problem(binary, tool, settings)
        for encoder in found:
            told.append(await _ability(encoder, binary, settings))  # noqa: PERF401  (what was told by then counts)
    working = [f"{encoder.name} ({encoder.codec}, {depth})" for encoder, depth, _ in told if depth]
    broken = [f"{encoder.name} ({problem})" for encoder, depth, problem in told if not depth]
    untried = [encoder.name for encoder in found[len(told) :]]
    sentences = {
        "encodes by": working,
        "cannot encode by": broken,
        "has, and had no time to try": untried,
        "also has": [str(tool) for tool, problem in tools.items() if problem is None],
        "does without": [f"{tool} ({problem})" for tool, problem in tools.items() if problem is not None],
    }
    return [f"{what} {', '.join(which)}" for what, which in sentences.items() if which]


async def _ability(encoder: Encoder, binary: Path, settings: TranscodeSettings) -> tuple[Encoder, str, str | None]:
    """Return which depths an encoder works with, in words; none where it does not work, and why."""
    problem = await trial_problem(binary, Coding(encoder, "ultrafast", 30), settings)
    if problem is not None:
        return encoder, "", problem
    deep = encoder.formats[True] is not None
    deep = deep and await trial_problem(binary, Coding(encoder, "ultrafast", 30, hdr=True), settings) is None
    return encoder, "8 and 10 bit" if deep else "8 bit", None
