"""Finding processors, and saying which plugin is to blame where that fails."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings, SettingsConfigDict

import jobkit.plugin.loading
from jobkit import Context, Payload, processor
from jobkit.errors import ConfigurationError, PayloadInvalid, UnknownType
from jobkit.plugin.loading import load_plugins
from jobkit.plugin.new_job import checked_id
from jobkit.plugin.processor import Processor
from jobkit.plugin.registry import Registry
from tests.steps import Step, loose, step


class Knobs(BaseSettings):
    """Settings of a plugin."""

    model_config = SettingsConfigDict(env_prefix="JOBKIT_KNOBS_")
    size: int
    password: str = "none"


class Other(Payload):
    """A payload of another type."""


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module of plugins that can be imported."""
    made = types.ModuleType("plugins_under_test")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    monkeypatch.setattr(jobkit.plugin.loading, "entry_points", lambda **_: [])
    return made


def _installed(monkeypatch: pytest.MonkeyPatch, **entries: str) -> None:
    found = [importlib.metadata.EntryPoint(name, value, "jobkit.processors") for name, value in entries.items()]
    monkeypatch.setattr(jobkit.plugin.loading, "entry_points", lambda **_: found)


# ---- loading -------------------------------------------------------------------------------------------------------


def test_installed_processors_are_found_by_their_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch, step="tests.steps:step")
    assert load_plugins().processors == {"step": step}


def test_a_named_module_gives_all_of_its_processors_and_a_named_one_only_itself(module: types.ModuleType) -> None:
    module.one, module.two = step, loose  # type: ignore[attr-defined]
    assert set(load_plugins(["plugins_under_test"]).processors) == {"step", "loose"}
    assert set(load_plugins(["plugins_under_test:two"]).processors) == {"loose"}


def test_one_processor_found_twice_is_one(module: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    module.one = step  # type: ignore[attr-defined]
    _installed(monkeypatch, step="tests.steps:step")
    assert load_plugins(["plugins_under_test", "tests.steps:step"]).processors == {"step": step}


def test_two_processors_of_one_type_are_refused_by_their_names(module: types.ModuleType) -> None:
    @processor("step", key=lambda _: "k")
    async def impostor(job: Step, ctx: Context) -> None: ...

    with pytest.raises(ConfigurationError, match=r"'step' is claimed by two processors: tests\.steps\.step and .*imp"):
        Registry([step, impostor])


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("no_such_module_anywhere", "'no_such_module_anywhere' does not import: ModuleNotFoundError"),
        ("plugins_under_test", "module 'plugins_under_test' has no processors"),
        ("plugins_under_test:missing", "'plugins_under_test:missing' is not a processor"),
        ("plugins_under_test:number", "'plugins_under_test:number' is not a processor"),
    ],
)
def test_a_named_plugin_that_does_not_load_is_named_with_its_variable(
    module: types.ModuleType, name: str, problem: str
) -> None:
    module.number = 5  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match=f"JOBKIT_PLUGINS: {problem}"):
        load_plugins([name])


def test_a_plugin_that_fails_while_it_is_imported_is_named_with_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "explosive.py").write_text("raise RuntimeError('boom')\n")
    monkeypatch.syspath_prepend(tmp_path)
    told = r"'explosive' does not import: RuntimeError\('boom'\) \(in .*explosive.py, line 1\)"
    with pytest.raises(ConfigurationError, match=told) as refused:
        load_plugins(["explosive"])
    assert isinstance(refused.value.__cause__, RuntimeError)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import sys\nsys.exit(3)\n", r"it calls sys.exit\(3\) as it is imported; .* \(in .*explosive.py, line 2\)"),
        ("import argparse\n\nargparse.ArgumentParser().parse_args(['--x'])\n", "it calls sys.exit.*argparse.py"),
        ("x = (\n", r"SyntaxError.* \(in .*explosive.py, line 1\)"),
        ("def f():\n    return 1 / 0\n\nf()\n", r"ZeroDivisionError.* \(in .*explosive.py, line 2\)"),
        (
            "from jobkit import processor\n\nprocessor('t', key=lambda _: 'k', retry=3)\n",
            r"retry must be a RetryPolicy, .* \(in .*explosive.py, line 3\)",
        ),
    ],
)
def test_a_plugin_that_does_not_import_ends_nobody_and_is_told_with_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    (tmp_path / "explosive.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "explosive", raising=False)
    importlib.invalidate_caches()
    with pytest.raises(ConfigurationError, match=problem):
        load_plugins(["explosive"])
    _installed(monkeypatch, step="tests.steps:step", broken="explosive:x")
    registry = load_plugins()
    assert registry.get("step") is step
    with pytest.raises(ConfigurationError, match=f"plugin 'broken' .*{problem}"):
        registry.get("broken")


def test_an_installed_plugin_that_does_not_load_is_in_nobodys_way_until_its_type_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _installed(monkeypatch, step="tests.steps:step", broken="tests.no_such_module:x", wrong="tests.steps:Step")
    registry = load_plugins()
    assert registry.get("step") is step
    for type, problem in (("broken", "does not load: ModuleNotFoundError"), ("wrong", "is not a processor")):
        with pytest.raises(ConfigurationError, match=f"plugin '{type}' .*{problem}"):
            registry.get(type)


def test_a_processor_that_loads_is_not_hidden_by_an_installed_one_that_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _installed(monkeypatch, step="tests.no_such_module:x")
    assert load_plugins(["tests.steps"]).get("step") is step


# ---- the registry --------------------------------------------------------------------------------------------------


def test_an_unknown_type_says_what_there_is_and_what_may_be_meant() -> None:
    with pytest.raises(UnknownType, match=r"'lose' is loaded \(loaded: loose, step\); did you mean 'loose'"):
        Registry([step, loose]).get("lose")
    with pytest.raises(UnknownType, match=r"\(loaded: none\); install its package"):
        Registry([]).get("x")


def _knobbed() -> Processor[Step, None]:
    @processor("knobbed", key=lambda _: "k", settings=Knobs)
    async def knobbed(job: Step, ctx: Context) -> None: ...

    return knobbed


def test_settings_of_plugins_are_validated_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry([_knobbed(), step])
    monkeypatch.setenv("JOBKIT_KNOBS_SIZE", "3")
    assert registry.settings() == {Knobs: Knobs(size=3)}
    assert registry.settings(["step"]) == {}


def test_wrong_settings_of_plugins_are_named_without_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_KNOBS_SIZE", "hunter2")
    with pytest.raises(ConfigurationError, match=r"^JOBKIT_KNOBS_SIZE: ") as refused:
        Registry([_knobbed()]).settings()
    assert "hunter2" not in str(refused.value)


async def test_checks_tell_what_is_wrong_by_type() -> None:
    async def check() -> list[str]:
        return ["one", "two"]

    @processor("checked", key=lambda _: "k", check=check)
    async def checked(job: Step, ctx: Context) -> None: ...

    registry = Registry([checked, step])
    assert await registry.problems() == ["checked: one", "checked: two"]
    assert await registry.problems(["step"]) == []


async def test_what_a_machine_can_do_is_told_by_type() -> None:
    async def describe() -> list[str]:
        return ["encodes"]

    @processor("able", key=lambda _: "k", describe=describe)
    async def able(job: Step, ctx: Context) -> None: ...

    registry = Registry([able, step])
    assert await registry.described("able") == ["able: encodes"]
    assert await registry.described("step") == []


# ---- new jobs ------------------------------------------------------------------------------------------------------


def test_a_job_is_made_of_a_model_of_values_or_of_json() -> None:
    registry = Registry([step])
    jobs = [
        registry.new_job("step", payload, id="x")
        for payload in (Step(on="a", number=2), {"on": "a", "number": 2}, b'{"on":"a","number":2}')
    ]
    assert jobs[0] == jobs[1] == jobs[2]
    assert (jobs[0].ordered, jobs[0].envelope.key) == (True, "a")
    assert registry.new_job("step", Step(), key="mine").envelope.key == "mine"


def test_without_an_id_every_job_gets_its_own() -> None:
    registry = Registry([loose])
    assert registry.new_job("loose", Step()).envelope.id != registry.new_job("loose", Step()).envelope.id
    assert not registry.new_job("loose", Step()).ordered


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"payload": Other()}, "takes a Step, not a Other"),
        ({"payload": {"nmber": 1}}, "nmber: Extra inputs"),
        ({"payload": b"{"}, "Invalid JSON"),
        ({"payload": Step(), "key": ""}, "a key must be"),
        ({"payload": Step(), "id": ""}, "a job id must be"),
        ({"payload": Step(on="x" * 300)}, "301 bytes|more than JOBKIT_MAX_PAYLOAD_BYTES allows"),
    ],
)
def test_a_job_that_could_not_be_run_is_refused_at_once(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(PayloadInvalid, match=problem):
        Registry([step], max_payload_bytes=300).new_job("step", **arguments)


def test_a_script_can_submit_to_a_processor_of_its_own_file() -> None:
    """Run as a script, a file is loaded twice: as `__main__`, and as the plugin."""

    class Twin(Payload):
        number: int = 3

    Twin.__module__, Twin.__qualname__ = "__main__", "Step"
    assert Registry([step]).new_job("step", Twin()).envelope.body == Step(number=3).model_dump_json().encode()


@pytest.mark.parametrize("id", ["", "a\nb", "\0", "\ud800", "x" * 201, "\x7f"])
def test_an_id_that_some_backend_cannot_take_is_refused(id: str) -> None:
    with pytest.raises(PayloadInvalid, match="a job id must be"):
        checked_id(id)


@pytest.mark.parametrize("id", ["1", "order/17 (copy)", "\u00fcber", "x" * 200])
def test_a_callers_own_id_is_taken(id: str) -> None:
    assert checked_id(id) == id


async def test_an_installed_plugin_that_nobody_has_configured_is_in_nobodys_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.startswith("JOBKIT_TRANSCODE_")]:
        monkeypatch.delenv(name)
    _installed(monkeypatch, transcode="workers.transcode:transcode", step="tests.steps:step")
    unconfigured = await load_plugins().unconfigured()
    assert list(unconfigured) == ["transcode"]
    assert "JOBKIT_TRANSCODE_SOURCE_ROOTS is empty" in unconfigured["transcode"]
    # Who names it, or has begun to configure it, wants it.
    assert await load_plugins(["workers.transcode:transcode"]).unconfigured() == {}
    monkeypatch.setenv("JOBKIT_TRANSCODE_THREADS", "1")
    assert await load_plugins().unconfigured() == {}
