"""Dockerfile and compose file, read: no engine is needed, and none runs them here; `tests/image` does.

What is checked is what could be wrong without anybody noticing: names, paths, users, order, versions and secrets.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import TypeAdapter

from jobkit.cli.app import app
from jobkit.settings import Settings
from workers.transcode.settings import TranscodeSettings

_ROOT = Path(__file__).parents[2]
_EXTRAS = ("ffmpeg", "postgres", "rabbitmq", "redis", "s3", "transcode", "web", "webhook")


def _instructions() -> Iterator[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", (_ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            yield name, rest.strip()


@pytest.fixture
def stages() -> list[list[tuple[str, str]]]:
    """The Dockerfile's instructions: first those before any stage, then those of each."""
    found: list[list[tuple[str, str]]] = [[]]
    for name, rest in _instructions():
        if name == "FROM":
            found.append([])
        found[-1].append((name, rest))
    return found


@pytest.fixture
def image(stages: list[list[tuple[str, str]]]) -> Mapping[str, str]:
    """The last instruction of each kind in the last stage, which is what the image has."""
    return dict(stages[-1])


def _all(stage: list[tuple[str, str]], name: str) -> list[str]:
    return [rest for found, rest in stage if found == name]


def _known_settings() -> set[str]:
    own = {f"JOBKIT_{name.upper()}" for name in Settings.model_fields}
    return own | {f"JOBKIT_TRANSCODE_{name.upper()}" for name in TranscodeSettings.model_fields}


def _parse(words: list[str]) -> None:
    """Have the command line read a command without carrying it out; `--help` is one it carries out itself."""
    command: Any = typer.main.get_command(app)
    if words == ["--help"]:
        return
    name, *rest = words
    with command.make_context("jobkit", list(words)) as context:
        found = command.get_command(context, name)
        assert found is not None, f"{name} is no command"
        found.make_context(name, rest, parent=context)


# ---- Dockerfile ---------------------------------------------------------------------------------------------------


def test_the_base_is_a_python_that_jobkit_supports_on_a_debian_by_its_name(stages: list[list[tuple[str, str]]]) -> None:
    (base,) = [rest for name, rest in stages[0] if name == "ARG"]
    found = re.fullmatch(r"BASE=python:(3\.\d+)-slim-(\w+)", base)
    assert found
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    assert f"Programming Language :: Python :: {found[1]}" in project["classifiers"]
    assert {rest.split()[0] for stage in stages[1:] for rest in _all(stage, "FROM")} == {"${BASE}"}


def test_it_runs_as_a_user_without_a_name_to_look_up_and_without_rights(image: Mapping[str, str]) -> None:
    user, group = image["USER"].split(":")
    assert int(user) > 999
    assert int(group) > 999
    assert f"--uid {user}" in image["RUN"]
    assert f"--gid {group}" in image["RUN"]


def test_signals_reach_the_worker_and_nothing_stays_a_zombie(image: Mapping[str, str]) -> None:
    # A shell in between would keep SIGTERM to itself.
    assert json.loads(image["ENTRYPOINT"]) == ["tini", "--", "jobkit"]
    assert json.loads(image["CMD"]) == ["worker"]
    assert image["STOPSIGNAL"] == "SIGTERM"
    assert "tini" in image["RUN"].split()


def test_what_the_image_runs_are_commands(image: Mapping[str, str]) -> None:
    _parse(json.loads(image["CMD"]))
    options, _, command = image["HEALTHCHECK"].partition(" CMD ")
    program, *words = json.loads(command)
    assert program == "jobkit"
    _parse(words)
    assert set(re.findall(r"--([a-z-]+)=", options)) == {"interval", "timeout", "start-period", "retries"}


def test_the_health_check_asks_where_the_worker_listens(image: Mapping[str, str]) -> None:
    variables = dict(word.split("=", 1) for word in shlex.split(image["ENV"]))
    settings = {name: value for name, value in variables.items() if name.startswith("JOBKIT_")}
    assert settings.keys() <= _known_settings()
    assert settings["JOBKIT_HEALTH_PORT"] == image["EXPOSE"]
    assert settings["JOBKIT_HEALTH_HOST"] == "0.0.0.0"  # noqa: S104  (a container's own network)
    assert variables["PATH"] == "/opt/jobkit/bin:$PATH"


def test_compilers_and_installers_stay_behind(stages: list[list[tuple[str, str]]]) -> None:
    build, last = stages[1], stages[2]
    assert _all(last, "COPY") == ["--from=build /opt/jobkit /opt/jobkit"]
    assert "uninstall --yes pip" in _all(build, "RUN")[-1]
    (run,) = _all(last, "RUN")
    assert "--no-install-recommends tini" in run
    assert "rm -rf /var/lib/apt/lists/*" in run
    assert not re.search(r"gcc|build-essential|-dev\b|curl|wget|pip", run)


def test_no_secret_and_no_backend_is_built_in() -> None:
    for name, rest in _instructions():
        assert not re.search(r"PASSWORD|SECRET|_URL", f"{name} {rest}")


def _pins() -> dict[str, str]:
    lines = (_ROOT / "requirements.txt").read_text().splitlines()
    pinned = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pinned}


def test_every_dependency_is_pinned_to_a_version_that_the_project_allows() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(item for extra in _EXTRAS for item in project["optional-dependencies"][extra]),
    ]
    pins = _pins()
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_the_pins_say_how_they_were_made() -> None:
    head = (_ROOT / "requirements.txt").read_text().splitlines()[:6]
    assert f"[{','.join(_EXTRAS)}]" in " ".join(head)


def test_what_the_build_copies_is_there_and_nothing_else_is_sent() -> None:
    lines = (_ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    sent = {rule[1:] for rule in rules if rule.startswith("!")}
    assert all((_ROOT / name).exists() for name in sent)
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    needed = {"pyproject.toml", "requirements.txt", project["project"]["readme"], *project["project"]["license-files"]}
    needed |= set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert sent == needed


# ---- compose.yaml -------------------------------------------------------------------------------------------------


@pytest.fixture
def compose() -> dict[str, Any]:
    loaded = yaml.safe_load((_ROOT / "compose.yaml").read_text())
    return TypeAdapter(dict[str, Any]).validate_python(loaded)


@pytest.fixture
def ours(compose: dict[str, Any]) -> dict[str, Any]:
    """The services that run the image."""
    return {name: service for name, service in compose["services"].items() if service["image"] == "jobkit:local"}


def _seconds(duration: str) -> int:
    assert duration.endswith("s")
    return int(duration.removesuffix("s"))


def test_there_is_everything_that_a_distributed_set_up_has(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {
        *("rabbitmq", "redis", "postgres", "migrate", "topology", "worker", "jobkit"),
    }
    assert compose["services"]["worker"]["deploy"]["replicas"] == 2


def test_commands_are_commands(ours: dict[str, Any]) -> None:
    for service in ours.values():
        _parse(service["command"])


def test_every_setting_exists_and_all_planes_are_set(ours: dict[str, Any]) -> None:
    for service in ours.values():
        variables = {name for name in service["environment"] if name.startswith("JOBKIT_")}
        assert variables <= _known_settings()
        assert {f"JOBKIT_{plane}_URL" for plane in ("BROKER", "COORDINATOR", "STORE", "BLOBS")} <= variables


def test_settings_are_valid(ours: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ours["worker"]["environment"].items():
        monkeypatch.setenv(name, _filled_in(value))
    settings = Settings()
    TranscodeSettings()
    assert settings.drain_seconds < _seconds(ours["worker"]["stop_grace_period"])


def _filled_in(value: str) -> str:
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def test_servers_and_clients_agree_on_names_passwords_and_places(compose: dict[str, Any], ours: dict[str, Any]) -> None:
    services, urls = compose["services"], ours["worker"]["environment"]
    rabbitmq, postgres = services["rabbitmq"]["environment"], services["postgres"]["environment"]
    redis = services["redis"]["command"]
    user, password = rabbitmq["RABBITMQ_DEFAULT_USER"], rabbitmq["RABBITMQ_DEFAULT_PASS"]
    vhost = rabbitmq["RABBITMQ_DEFAULT_VHOST"]
    assert urls["JOBKIT_BROKER_URL"] == f"amqp://{user}:{password}@rabbitmq:5672/{vhost}"
    password = redis[redis.index("--requirepass") + 1]
    assert urls["JOBKIT_COORDINATOR_URL"] == f"redis://:{password}@redis:6379/0"
    assert services["redis"]["environment"]["REDISCLI_AUTH"] == password
    login = f"{postgres['POSTGRES_USER']}:{postgres['POSTGRES_PASSWORD']}"
    assert urls["JOBKIT_STORE_URL"] == f"postgresql://{login}@postgres:5432/{postgres['POSTGRES_DB']}"


def test_passwords_come_from_the_environment(compose: dict[str, Any]) -> None:
    text = (_ROOT / "compose.yaml").read_text()
    assert len(re.findall(r"\$\{(?:RABBITMQ|REDIS|POSTGRES)_PASSWORD:-only-for-trying-out\}", text)) == 7
    assert text.count("only-for-trying-out") == 7


def test_no_port_is_published(compose: dict[str, Any]) -> None:
    assert [name for name, service in compose["services"].items() if "ports" in service] == []


def test_servers_are_of_versions_that_the_documents_support_and_keep_their_data(compose: dict[str, Any]) -> None:
    services = compose["services"]
    # Whose makers still mend them.
    least = {"rabbitmq": (4,), "redis": (8,), "postgres": (17,)}
    paths = {"rabbitmq": "/var/lib/rabbitmq", "redis": "/data", "postgres": "/var/lib/postgresql/data"}
    for name, version in least.items():
        image, tag = services[name]["image"].split(":")
        assert image == name
        assert tuple(int(part) for part in tag.split(".")) >= version
        assert services[name]["volumes"] == [f"{name}:{paths[name]}"]
        assert services[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    used = {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", ())}
    assert {name for name in used if not name.startswith(".")} == set(compose["volumes"])
    # Its data lie below a directory with the name of the host, which Docker would make up anew.
    assert services["rabbitmq"]["hostname"] == "rabbitmq"


def test_nothing_starts_before_what_it_needs(compose: dict[str, Any], ours: dict[str, Any]) -> None:
    conditions = {name: need["condition"] for name, need in ours["worker"]["depends_on"].items()}
    assert conditions == {
        "rabbitmq": "service_healthy",
        "redis": "service_healthy",
        "postgres": "service_healthy",
        "migrate": "service_completed_successfully",
        "topology": "service_completed_successfully",
    }
    for service in ours.values():
        for name, need in service["depends_on"].items():
            checked = "healthcheck" in compose["services"][name]
            assert checked or need["condition"] == "service_completed_successfully"


def test_only_what_listens_is_asked_for_its_health(ours: dict[str, Any]) -> None:
    disabled = {name for name, service in ours.items() if service.get("healthcheck") == {"disable": True}}
    assert disabled == {"migrate", "topology", "jobkit"}


def test_containers_of_ours_can_write_nothing_but_their_data(ours: dict[str, Any]) -> None:
    for service in ours.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        # The image makes that directory for its user, and a new volume takes its owner over.
        assert service["volumes"] == ["blobs:/var/lib/jobkit", "./videos:/videos:ro"]
        assert service["environment"]["JOBKIT_BLOBS_URL"].startswith("file:///var/lib/jobkit/")


def test_what_the_file_tells_to_type_are_commands() -> None:
    text = (_ROOT / "compose.yaml").read_text()
    typed = re.findall(r"docker compose run --rm jobkit (.+)", text)
    assert len(typed) == 2
    for line in typed:
        _parse(shlex.split(line))
