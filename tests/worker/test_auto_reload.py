"""`jobkit dev`'s worker: started anew when code changes, and gone when it is told to end."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
import pytest

from jobkit.errors import ConfigurationError
from jobkit.model.clock import SystemClock
from jobkit.worker.auto_reload import ReloadingWorker, code_of


def read(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


async def lines(path: Path, count: int) -> list[str]:
    """Return what the process has written, once that is so many lines."""
    with anyio.fail_after(60):
        while len(found := read(path)) < count:  # noqa: ASYNC110  (files tell nobody that they have changed)
            await anyio.sleep(0.02)
    return found


def is_there(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_it_is_started_anew_when_code_changes_and_ends_with_its_owner(tmp_path: Path) -> None:
    code, said = tmp_path / "code.py", tmp_path / "said"
    wrote = f"open({str(said)!r}, 'a').write(f'{{word}} {{os.getpid()}}\\n')"
    program = f"import os, time; exec(open({str(code)!r}).read()); {wrote}"
    code.write_text("word = 'one'")
    worker = ReloadingWorker((sys.executable, "-c", f"{program}; time.sleep(600)"), os.environ, [code], SystemClock())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        first = (await lines(said, 1))[0]
        code.write_text("word = 'two'")
        # File times may be coarse.
        os.utime(code, (2_000_000_000, 2_000_000_000))
        second = (await lines(said, 2))[1]
        assert [first.split()[0], second.split()[0]] == ["one", "two"]
        assert not is_there(first.split()[1])
        tasks.cancel_scope.cancel()
    assert not is_there(second.split()[1])


async def test_one_that_broke_is_started_again_when_it_was_mended(tmp_path: Path) -> None:
    code, said = tmp_path / "code.py", tmp_path / "said"
    code.write_text("raise SystemExit(open(said, 'a').write('broken\\n'))")
    program = f"said = {str(said)!r}; exec(open({str(code)!r}).read())"
    worker = ReloadingWorker((sys.executable, "-c", program), os.environ, [tmp_path], SystemClock())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await lines(said, 1)
        assert worker.starts == 1
        code.write_text("open(said, 'a').write('mended\\n')")
        os.utime(code, (2_000_000_000, 2_000_000_000))
        assert await lines(said, 2) == ["broken", "mended"]
        tasks.cancel_scope.cancel()


def test_the_code_of_a_module_is_its_file_and_of_a_package_its_folder() -> None:
    (package,) = code_of(["jobkit.worker.auto_reload:code_of"])
    assert package.name == "jobkit"
    assert code_of(["this"])[0].name == "this.py"
    for wrong in ("no.such.module", "nosuch", ""):
        with pytest.raises(ConfigurationError):
            code_of([wrong])
