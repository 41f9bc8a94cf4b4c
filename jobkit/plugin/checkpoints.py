"""What an attempt keeps of its work for a later one: the job's checkpoint, and the results and files of its steps.

All of it is read at the first use, which most jobs never come to. From then on the attempt knows what is kept, for
nobody else can write under its fence.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, TypeVarTuple, cast

import anyio
from pydantic import BaseModel, PydanticUserError, ValidationError
from pydantic_core import from_json

from jobkit.errors import CheckpointInvalid, EffectInvalid, LeaseLost, Unavailable
from jobkit.model import names
from jobkit.model.blob import BlobRef
from jobkit.model.clock import Clock
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.model.plane import Plane
from jobkit.model.read_back import Codec, NotReadBack, codec_of, difference, dump_untyped
from jobkit.model.safe_text import error_text
from jobkit.plugin.blob_writer import BlobWriter, step_files
from jobkit.ports.checkpoints import CHECKPOINT, Checkpoint, Checkpoints, SaveAnswer, dump_blobs

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Each attempt reads all of it at once, and each checkpoint is written whole: more is for a file.
MAX_VALUE_BYTES = 1024 * 1024
# Of all steps of a job together, results and the names of their files.
MAX_STEPS_BYTES = 8 * MAX_VALUE_BYTES
MAX_STEPS = 1_000
# Doubt about the store is asked again after this, doubling up to the second figure; and for so long.
_DOUBT_SECONDS = (0.05, 2.0)
_PATIENCE_SECONDS = 60.0


class KeptWork:
    """What one attempt at a job finds kept, and keeps."""

    def __init__(
        self,
        store: Checkpoints,
        envelope: Envelope,
        fence: Fence,
        clock: Clock,
        *,
        blobs: Callable[[], BlobWriter],
        check_alive: Callable[[], None],
        on_unavailable: Callable[[Plane, str, Exception], None],
    ) -> None:
        self._store = store
        self._envelope = envelope
        self._fence = fence
        self._clock = clock
        self._blobs = blobs
        self._check_alive = check_alive
        self._on_unavailable = on_unavailable
        self._found: dict[str, Checkpoint] | None = None
        self._begun: set[str] = set()
        self._reading = anyio.Lock()
        self._saving = anyio.Lock()

    async def checkpoint(self, state: BaseModel) -> None:
        """Keep `state` in the place of what was kept before."""
        self._check_alive()
        value = _value(state, codec_of(type(state)), "checkpoint")
        async with self._saving:
            found = await self._kept()
            new = Checkpoint(CHECKPOINT, 1, value)
            while True:
                earlier = found.get(CHECKPOINT)
                new = replace(new, version=earlier.version + 1 if earlier else 1)
                if await self._save(new):
                    found[CHECKPOINT] = new
                    return
                # An earlier request was under way for long, or this one had arrived although no answer came.
                found = await self._kept(again=True)

    async def resume(self, model: type[M]) -> M | None:
        """Return what was kept last, or None."""
        self._check_alive()
        found = (await self._kept()).get(CHECKPOINT)
        return None if found is None else self._load(found, codec_of(model), f"as {model.__name__}")

    async def step(self, name: str, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """Return what the step came to, now or in an earlier attempt."""
        self._check_alive()
        plain = _step_name(name)
        codec = _codec_of_result(plain, function)
        if plain in self._begun:
            raise EffectInvalid(f"step {plain!r} is there twice in this attempt: give each step of a job its own name")
        self._begun.add(plain)
        try:
            found = await self._kept()
            if plain in found:
                return cast(T, self._take_over(found[plain], codec))
            return await self._run(plain, codec, function, *args)
        except BaseException:
            # One that did not come to an end may be run again.
            self._begun.discard(plain)
            raise

    async def _run(self, name: str, codec: Codec[Any] | None, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        around = step_files.get()
        files: list[BlobRef] = []
        token = step_files.set((*around, files))
        try:
            result = await function(*args)
        finally:
            step_files.reset(token)
        self._check_alive()
        new = Checkpoint(name, 1, _value(result, codec, f"the result of step {name!r}"), tuple(files))
        async with self._saving:
            found = await self._kept()
            _check_bounds(new, [one for one in found.values() if one.step != CHECKPOINT])
            if await self._save(new):
                found[name] = new
                return result
            kept = (await self._kept(again=True))[name]
        if (kept.value, kept.blobs) == (new.value, new.blobs):
            return result
        # An earlier attempt's request was under way for long: what it kept came first, and this came for nothing.
        self._blobs().forget(files)
        return cast(T, self._take_over(kept, codec))

    def _take_over(self, kept: Checkpoint, codec: Codec[Any] | None) -> Any:
        """Return what a step came to earlier, and have its files be this attempt's."""
        result = self._load(kept, codec, "as the result of what this step is now")
        if kept.blobs:
            self._blobs().adopt(kept.blobs, f"step {kept.step!r}")
        return result

    def _load(self, kept: Checkpoint, codec: Codec[T] | None, what: str) -> Any:
        try:
            return from_json(kept.value) if codec is None else codec.load(kept.value)
        except Exception as error:
            # A validator of the model's own may raise anything.
            name = f"of step {kept.step!r}" if kept.step else "in the checkpoint"
            raise CheckpointInvalid(
                f"what is kept {name} of job {self._envelope.id} does not validate {what}, "
                f"by which it was not written: {_why(error)}"
            ) from error

    async def _kept(self, *, again: bool = False) -> dict[str, Checkpoint]:
        async with self._reading:
            if self._found is None or again:
                self._found = {one.step: one for one in await self._store.checkpoints(self._envelope.id)}
            return self._found

    async def _save(self, new: Checkpoint) -> bool:
        """Keep it, asking again for a while where the answer is in doubt; False where something newer is kept.

        Raises `LeaseLost` or `Unavailable`.
        """
        pause, until = _DOUBT_SECONDS[0], self._clock.now() + _PATIENCE_SECONDS
        while True:
            self._check_alive()
            try:
                answer = await self._store.save_checkpoint(self._envelope, self._fence, new)
                break
            except Unavailable as error:
                if self._clock.now() >= until:
                    raise
                self._on_unavailable(error.plane, f"keeping a checkpoint of job {self._envelope.id}", error)
            await self._clock.sleep(pause)
            pause = min(2 * pause, _DOUBT_SECONDS[1])
        if answer is SaveAnswer.REFUSED:
            raise LeaseLost(
                f"job {self._envelope.id} on {self._envelope.type}/{self._envelope.key} has ended, or was taken over "
                "by a newer lease"
            )
        return answer is SaveAnswer.SAVED


def _step_name(name: object) -> str:
    try:
        return names.STEP.check(name)
    except ValueError as error:
        raise EffectInvalid(str(error)) from error


def _value(value: object, codec: Codec[Any] | None, where: str) -> bytes:
    """Return a value as JSON that reads back equal. Raises `EffectInvalid`."""
    try:
        raw = dump_untyped(value, where) if codec is None else codec.dump(value, where)
    except NotReadBack as error:
        raise EffectInvalid(str(error)) from error
    if codec is None and (found := difference(value, from_json(raw), where)) is not None:
        raise EffectInvalid(f"{found}: say what the step's function returns, '-> SomeResult'")
    if len(raw) > MAX_VALUE_BYTES:
        raise EffectInvalid(f"{where} has {len(raw)} bytes as JSON, more than {MAX_VALUE_BYTES}: put it into a file")
    return raw


def _check_bounds(new: Checkpoint, kept: Sequence[Checkpoint]) -> None:
    """Raise `EffectInvalid` where a job would keep more than each of its attempts is to read."""
    if len(kept) >= MAX_STEPS:
        raise EffectInvalid(f"step {new.step!r} is one more than the {MAX_STEPS} that a job may have: join some")
    size = sum(len(one.value) + len(dump_blobs(one.blobs)) for one in (*kept, new))
    if size > MAX_STEPS_BYTES:
        raise EffectInvalid(
            f"with step {new.step!r} the steps of this job come to {size} bytes of results and names of files, more "
            f"than {MAX_STEPS_BYTES}: put large results into files"
        )


def _codec_of_result(step: str, function: Callable[..., Any]) -> Codec[Any] | None:
    """Return the codec of what a function says that it returns; None where it does not say, and JSON has to do."""
    asked: Any = function
    while isinstance(asked, partial):
        asked = asked.func
    try:
        returned = typing.get_type_hints(asked, include_extras=True).get("return", Any)
    except (NameError, TypeError):
        return None
    if not inspect.iscoroutinefunction(asked):
        # What it returns is awaited.
        arguments = typing.get_args(returned)
        returned = arguments[-1] if arguments else Any
    if returned is Any or isinstance(returned, TypeVar):
        return None
    try:
        return codec_of(returned)
    except TypeError:
        return Codec(returned)
    except PydanticUserError as error:
        raise EffectInvalid(
            f"step {step!r} returns {returned!r}, which cannot be written as JSON: return a jobkit.Result, a value of "
            "plain types, or None"
        ) from error


def _why(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return error_text(error)
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'value'}: {item['msg']}" for item in error.errors()
    )
