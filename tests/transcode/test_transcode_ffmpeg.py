from __future__ import annotations

import sys
from pathlib import Path

import pytest
from transcode_bench import FFMPEG, Samples, script

from jobkit import Reject, Retry
from workers.transcode import machine_check
from workers.transcode.errors import FfmpegFailed, Killed
from workers.transcode.ffmpeg import find_ffmpeg, judged, required_ffmpeg
from workers.transcode.process import Finished
from workers.transcode.processor import transcode
from workers.transcode.sample import main, make_sample

NO_SPACE = "[out#0/mp4] Error muxing a packet: No space left on device"


def test_good_end_is_no_failure() -> None:
    assert judged(Finished(0, "a warning"), reads_source=True) is None


@pytest.mark.parametrize("code", [69, 183])
def test_source_is_blamed_only_while_it_is_read(code: int) -> None:
    assert isinstance(judged(Finished(code, "x"), reads_source=True), Reject)
    assert isinstance(judged(Finished(code, "x"), reads_source=False), FfmpegFailed)


def test_full_disk_is_worth_another_attempt_and_named() -> None:
    failure = judged(Finished(228, NO_SPACE), reads_source=True)
    assert isinstance(failure, Retry)
    assert "No space left" in str(failure)


def test_ffmpeg_that_was_told_to_stop_is_killed_not_done() -> None:
    assert isinstance(judged(Finished(255, ""), reads_source=True), Killed)


def test_setting_wins_over_the_path_and_the_path_over_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, on_path = tmp_path / "own-ffmpeg", tmp_path / "ffmpeg"
    script(own, "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_ffmpeg(None)
    assert found is not None
    assert "imageio_ffmpeg" in str(found)
    script(on_path, "exit 0")
    assert find_ffmpeg(None) == on_path
    assert find_ffmpeg(str(own)) == own
    assert find_ffmpeg("own-ffmpeg") == own


def test_missing_ffmpeg_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(FfmpegFailed, match="JOBKIT_TRANSCODE_FFMPEG"):
        required_ffmpeg(str(tmp_path / "nothing"))


def test_no_ffmpeg_at_all_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("workers.transcode.ffmpeg.find_spec", lambda _: None)
    with pytest.raises(FfmpegFailed, match="'ffmpeg' extra"):
        required_ffmpeg(None)


async def test_machine_that_can_transcode_has_no_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_TRANSCODE_SOURCE_ROOTS", str(tmp_path))
    assert transcode.check is not None
    assert await transcode.check() == []


async def test_check_names_every_problem_of_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_TRANSCODE_FFMPEG", script(tmp_path / "poor", "echo ' A....D aac  AAC'"))
    monkeypatch.setenv("JOBKIT_TRANSCODE_SOURCE_ROOTS", str(tmp_path / "missing"))
    monkeypatch.setattr(machine_check, "probe_command", lambda _: [sys.executable, "-c", "import no_such_av"])
    problems = "\n".join(await machine_check.check())
    assert "missing" in problems
    assert "no encoder libx264" in problems
    assert "no encoder aac" not in problems
    assert "'transcode' extra: ModuleNotFoundError: No module named 'no_such_av'" in problems


async def test_check_tells_of_an_ffmpeg_that_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_TRANSCODE_FFMPEG", script(tmp_path / "broken", "echo cannot load; exit 1"))
    problems = await machine_check.check()
    assert any("does not run: cannot load" in problem for problem in problems)
    assert any("JOBKIT_TRANSCODE_SOURCE_ROOTS" in problem for problem in problems)


async def test_check_tells_of_a_setting_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_TRANSCODE_CRF", "99")
    (problem,) = await machine_check.check()
    assert problem.startswith("JOBKIT_TRANSCODE_CRF: ")


async def test_check_tells_what_profiles_miss_to_encrypt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "profiles.toml").write_text('[profiles.film]\nencryption = "cenc"\n')
    monkeypatch.setenv("JOBKIT_TRANSCODE_PROFILES", str(tmp_path / "profiles.toml"))
    monkeypatch.setattr(machine_check, "packager_problem", lambda _: "no Shaka Packager")
    problems = await machine_check.check()
    assert "no Shaka Packager" in problems
    assert "packages are to be encrypted, and JOBKIT_TRANSCODE_KEY_SOURCE names no key source" in problems
    # Who encodes chunks only is to have no keys.
    assert not [each for each in await machine_check.check_for_chunks() if "KEY" in each or "Packager" in each]


async def test_check_tells_of_a_key_source_that_fails_at_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_desk.py").write_text("raise KeyError('VAULT')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("JOBKIT_TRANSCODE_KEY_SOURCE", "broken_desk:give")
    problems = await machine_check.check()
    assert any("'broken_desk:give', which cannot be imported: KeyError: 'VAULT'" in problem for problem in problems)


async def test_sample_has_picture_and_sound(tmp_path: Path, samples: Samples) -> None:
    path = await make_sample(tmp_path / "s ample.mp4", seconds=0.5, size=(160, 90))
    samples.ffmpeg("-i", str(path), "-map", "0:v:0", "-map", "0:a:0", "-f", "null", "-")


def test_sample_is_made_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_TRANSCODE_FFMPEG", FFMPEG)
    assert main([str(tmp_path / "s.mp4"), "--seconds", "0.2", "--size", "160x90"]) == 0
    assert (tmp_path / "s.mp4").stat().st_size > 1000


def test_size_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "s.mp4"), "--size", "large"])
