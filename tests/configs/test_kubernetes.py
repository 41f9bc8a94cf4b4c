"""The manifests, against the schemas of Kubernetes and KEDA, and against what the settings and the image say."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from jobkit.cli.app import app
from jobkit.settings import Settings
from jobkit.telemetry import metrics as m
from workers.transcode.settings import TranscodeSettings

_ROOT = Path(__file__).parents[2]
_FOLDER = _ROOT / "configs/kubernetes"
_SCALED = json.loads((Path(__file__).parent / "schemas/keda-scaledobject.json").read_text())
_KUSTOMIZATION = yaml.safe_load((_FOLDER / "kustomization.yaml").read_text())
_MANIFESTS: Mapping[str, Any] = {
    path.name: yaml.safe_load(path.read_text())
    for path in sorted(_FOLDER.glob("*.yaml"))
    if path.name != "kustomization.yaml"
}
# The oldest that is supported by anybody, and the newest.
_VERSIONS = ("1.30.0", "1.36.0")


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip("the extra `dev` brings the schemas: pip install -e '.[dev]'")


def _pods() -> dict[str, Any]:
    return {
        name: one["spec"]["template"]["spec"] for name, one in _MANIFESTS.items() if "template" in one.get("spec", {})
    }


def _settings() -> dict[str, str]:
    (generated,) = _KUSTOMIZATION["configMapGenerator"]
    return dict(literal.split("=", 1) for literal in generated["literals"])


@pytest.mark.parametrize("version", _VERSIONS)
@pytest.mark.parametrize("name", [name for name, one in _MANIFESTS.items() if one["kind"] != "ScaledObject"])
def test_a_manifest_is_what_kubernetes_takes(name: str, version: str) -> None:
    _module("kubernetes_validate").validate(_MANIFESTS[name], version, strict=True)


def test_a_manifest_that_is_wrong_is_found() -> None:
    wrong = yaml.safe_load((_FOLDER / "worker.yaml").read_text())
    wrong["spec"]["template"]["spec"]["terminationGraceSeconds"] = 135
    validating = _module("kubernetes_validate")
    with pytest.raises(validating.ValidationError):
        validating.validate(wrong, _VERSIONS[-1], strict=True)


def test_the_scaled_object_is_what_keda_takes() -> None:
    validating = _module("jsonschema")
    validating.validate(_MANIFESTS["scaledobject.yaml"], _SCALED)
    with pytest.raises(validating.ValidationError):
        validating.validate({**_MANIFESTS["scaledobject.yaml"], "specs": {}}, _SCALED)


def test_all_of_them_are_named_once() -> None:
    assert sorted(_KUSTOMIZATION["resources"]) == sorted(_MANIFESTS)


def test_what_is_set_is_a_setting_with_a_valid_value(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {f"JOBKIT_{name.upper()}" for name in Settings.model_fields}
    known |= {f"JOBKIT_TRANSCODE_{name.upper()}" for name in TranscodeSettings.model_fields}
    assert set(_settings()) <= known
    for name, value in _settings().items():
        monkeypatch.setenv(name, value)
    Settings()


def test_the_scaler_goes_by_a_metric_that_there_is_and_by_the_settings() -> None:
    spec = _MANIFESTS["scaledobject.yaml"]["spec"]
    (trigger,) = spec["triggers"]
    assert f"{m.QUEUE_DEPTH.name.replace('.', '_')}{{" in trigger["metadata"]["query"]
    assert trigger["metadata"]["threshold"] == _settings()["JOBKIT_CONCURRENCY"]
    assert spec["maxReplicaCount"] <= int(_settings()["JOBKIT_PARTITIONS"])
    assert spec["scaleTargetRef"]["name"] == _MANIFESTS["worker.yaml"]["metadata"]["name"]


def test_a_worker_has_longer_to_end_than_its_drain_may_take() -> None:
    grace = _pods()["worker.yaml"]["terminationGracePeriodSeconds"]
    assert grace >= int(_settings()["JOBKIT_DRAIN_SECONDS"]) + 10


@pytest.mark.parametrize("name", _pods())
def test_a_pod_runs_a_command_that_there_is_and_nothing_more_than_it_needs(name: str) -> None:
    pod = _pods()[name]
    (container,) = pod["containers"]
    click = typer.main.get_command(app)
    assert container["args"][0] in click.commands  # type: ignore[attr-defined]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {next(iter(source.values()))["name"] for source in container["envFrom"]} == {
        "jobkit-settings",
        "jobkit-urls",
    }
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            assert container[probe]["httpGet"]["path"] in ("/live", "/ready")


def test_the_budget_is_for_the_workers() -> None:
    selected = _MANIFESTS["poddisruptionbudget.yaml"]["spec"]["selector"]["matchLabels"]
    labels = _MANIFESTS["worker.yaml"]["spec"]["template"]["metadata"]["labels"]
    assert selected.items() <= labels.items()
