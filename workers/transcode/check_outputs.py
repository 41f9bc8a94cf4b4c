"""Has every output looked at by the probing process, side by side, and ends the job where one is not right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import anyio
from anyio import to_thread

from workers.transcode import output_problems, progress
from workers.transcode.errors import OutputInvalid, OutputUnfit
from workers.transcode.job_tools import Bench
from workers.transcode.media import Media, SoundFile
from workers.transcode.packaging import Playlists, read_playlists
from workers.transcode.plan import (
    POSTER,
    OtherSound,
    TranscodePlan,
    package_folder,
    playlist_file,
    rendition_file,
    sound_folder,
)
from workers.transcode.probe import ProbeTask, Unusable, probe
from workers.transcode.process import first_error

# What our own outputs may be read as.
Answer = Media | SoundFile | Unusable
# Packets of sound have a length that no source ends by.
_SOUND_SECONDS = 0.1
# What is shorter is decoded sooner than a second process starts.
_ALONE_SECONDS = 8.0
RENDITION_FORMATS, _POSTER_FORMATS = "mov", "image2,jpeg_pipe"


@dataclass(frozen=True, slots=True)
class Checked:
    """Outputs that are right: the facts of each rendition in the plan's order, and the playlists of a package."""

    renditions: tuple[Media, ...]
    playlists: Playlists | None


async def check_outputs(bench: Bench, plan: TranscodePlan, source: Media, *, known: bool = False) -> Checked:
    """Decode and check every output, and return what was found.

    Nothing is decoded a second time: not the segments, of which every packet is compared with the renditions', nor
    pictures that are `known` to be those that were decoded where they were made. Raises `OutputInvalid` where a file is
    damaged, `OutputUnfit` with all that is not as planned.
    """
    playlists = await to_thread.run_sync(read_playlists, plan, bench.directory) if plan.hls else None
    # The largest takes about as long to decode as all others together.
    tasks = [_task(bench, plan, number, known) for number in range(len(plan.rungs))]
    tasks.append(ProbeTask(f"file:{POSTER}", _POSTER_FORMATS, True, 1))
    tasks += [_sound_task(sound) for sound in plan.other_sounds]
    groups = [tasks] if plan.duration < _ALONE_SECONDS else [tasks[:1], tasks[1:]]
    answers = await _side_by_side(bench, plan, groups)
    count = len(plan.rungs)
    renditions = _sound_files(plan, source, answers[:count], answers[count])
    _check_sounds(plan, renditions[0], answers[count + 1 :])
    if playlists is not None:
        _check_package(plan, renditions, playlists)
    return Checked(tuple(renditions), playlists)


def _task(bench: Bench, plan: TranscodePlan, number: int, known: bool) -> ProbeTask:
    rung = plan.rungs[number]
    packages: dict[str, str] = {}
    if plan.hls:
        packages["vide"] = package_folder(rung)
        if plan.sound is not None and number == 0:
            packages["soun"] = sound_folder()
    # Two files at once: threads of one decoder cost more than they save.
    threads = max(1, bench.settings.threads // 2)
    return ProbeTask(f"file:{rendition_file(rung)}", RENDITION_FORMATS, True, threads, packages, known=known)


def _sound_task(sound: OtherSound) -> ProbeTask:
    return ProbeTask(f"file:{sound.file}", RENDITION_FORMATS, True, 1, {"soun": sound.folder}, sound_only=True)


def _check_sounds(plan: TranscodePlan, main: Media, found: Sequence[Answer]) -> None:
    problems: list[str] = []
    for sound, each in zip(plan.other_sounds, found, strict=True):
        if not isinstance(each, SoundFile):
            raise OutputInvalid(f"outputs are damaged: {sound.file}: it cannot be decoded ({each})")
        wrong = output_problems.sound_problems(each.audio, sound.chain.channels, sound.coding.codec)
        problems += [*each.package_problems, *(f"{sound.file}: {problem}" for problem in wrong)]
        # The main sound in another codec is as long as it is there, which was compared with the source.
        wanted = main.audio.end if main.audio is not None and sound.index == plan.audio_index else plan.duration
        if abs(each.audio.end - wanted) > _SOUND_SECONDS:
            problems.append(f"{sound.file}: it lasts {each.audio.end:.2f} s, not {wanted:.2f} s")
    _require_none(problems)


async def _side_by_side(bench: Bench, plan: TranscodePlan, groups: Sequence[Sequence[ProbeTask]]) -> list[Answer]:
    answers: list[list[Answer]] = [[] for _ in groups]
    reached = [0.0] * len(groups)
    count = sum(map(len, groups))

    async def look(number: int) -> None:
        async def on_position(done: int, seconds: float) -> None:
            reached[number] = done + (min(1.0, seconds / plan.duration) if plan.duration else 0.0)
            await bench.report(progress.VERIFY, sum(reached) / count)

        answers[number] = await probe(bench.supervisor, groups[number], cwd=bench.directory, on_position=on_position)

    failure: BaseException | None = None
    try:
        async with anyio.create_task_group() as tasks:
            for number in range(len(groups)):
                tasks.start_soon(partial(look, number))
    except ExceptionGroup as group:
        failure = first_error(group)
    # Raised bare: callers know errors by their type, and a group would hide a lost lease from the runtime.
    if failure is not None:
        raise failure
    return [answer for group in answers for answer in group]


def _sound_files(plan: TranscodePlan, source: Media, found: Sequence[Answer], poster: Answer) -> list[Media]:
    """Return the facts of the renditions. Raises where one of them, or the poster, is not right."""
    named = [(rendition_file(rung), each) for rung, each in zip(plan.rungs, found, strict=True)]
    damaged = [f"{name}: it cannot be decoded ({each.problem})" for name, each in named if isinstance(each, Unusable)]
    if isinstance(poster, Unusable):
        damaged.append(f"{POSTER}: it cannot be decoded ({poster.problem})")
    if damaged:
        raise OutputInvalid(f"outputs are damaged: {'; '.join(damaged)}")
    unfit = [f"{POSTER}: {problem}" for problem in output_problems.poster_problems(poster, plan.rungs[0].size)]
    channels = None if plan.sound is None else plan.sound.channels
    for rung, (name, each) in zip(plan.rungs, named, strict=True):
        unfit += [
            f"{name}: {problem}"
            for problem in output_problems.rendition_problems(
                each, rung.size, channels, source, rung.coding, plan.sound_coding.codec
            )
        ]
    _require_none(unfit)
    renditions = [each for each in found if isinstance(each, Media)]
    names = [rung.name for rung in plan.rungs]
    _require_none(output_problems.alignment_problems(dict(zip(names, renditions, strict=True))))
    return renditions


def _check_package(plan: TranscodePlan, renditions: Sequence[Media], playlists: Playlists) -> None:
    problems: list[str] = []
    for rung, rendition, playlist in zip(plan.rungs, renditions, playlists.pictures, strict=True):
        wrong = output_problems.package_problems(rendition, playlist)
        problems += [*rendition.package_problems, *(f"{playlist_file(rung)}: {problem}" for problem in wrong)]
    _require_none(problems)


def _require_none(problems: Sequence[str]) -> None:
    if problems:
        raise OutputUnfit(f"outputs are not as planned: {'; '.join(problems)}; {output_problems.WHAT_TO_DO}")
