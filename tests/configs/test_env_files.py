"""The env files in configs/: each loads, names settings that exist, and says nothing false about the defaults."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr

from jobkit.backends.postgres.address import parse_address as parse_postgres
from jobkit.backends.rabbitmq.broker import RabbitBroker
from jobkit.backends.redis.address import parse_address as parse_redis
from jobkit.backends.registry import schemes_of
from jobkit.backends.s3.address import parse_address as parse_s3
from jobkit.lab.servers.local import wanted_servers
from jobkit.leases import LeaseTerms
from jobkit.model.clock import SystemClock
from jobkit.model.concurrency import Concurrency
from jobkit.model.plane import Plane
from jobkit.settings import Settings, load_settings
from workers.transcode.settings import TranscodeSettings

_ROOT = Path(__file__).parents[2]
_CONFIGS = _ROOT / "configs"
_FILES = sorted(_CONFIGS.glob("*.env"))
_SINGLE, _TWO, _LOCAL = (_CONFIGS / f"{name}.env" for name in ("single-region", "two-region", "local-servers"))

# What each deployment is told, in the order in which its files are named.
_DEPLOYMENTS = {
    "embedded": (_CONFIGS / "embedded.env",),
    "demo": (_CONFIGS / "demo.env",),
    "demo on servers": (_CONFIGS / "demo.env", _LOCAL),
    "embedded on servers": (_CONFIGS / "embedded.env", _LOCAL),
    "single region": (_SINGLE,),
    "two regions": (_SINGLE, _TWO),
}
# A line that sets a variable, also one that is commented out for the reader to choose.
_ASSIGNMENT = re.compile(r"^#?(JOBKIT_[A-Z_]+)=(.*)$", re.MULTILINE)
_DEFAULT_CLAIM = re.compile(r"\(The\s+default\s+is\s+([0-9.]+)\.\)")
_PLANES = {plane.name: schemes_of(plane) for plane in Plane}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start without any setting, and take away those that a test loads."""
    before = dict(os.environ)
    for name in before:
        if name.startswith("JOBKIT_"):
            monkeypatch.delenv(name)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]


def _known() -> set[str]:
    own = {f"JOBKIT_{name.upper()}" for name in Settings.model_fields}
    return own | {f"JOBKIT_TRANSCODE_{name.upper()}" for name in TranscodeSettings.model_fields}


def _blocks(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield a file's assignments: the comment before each, its variable, and its value."""
    comment: list[str] = []
    for line in path.read_text().splitlines():
        found = _ASSIGNMENT.match(line)
        if found:
            yield " ".join(comment), found[1], found[2]
            comment = []
        elif line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
        else:
            comment = []


def test_no_file_is_left_out() -> None:
    assert {path for files in _DEPLOYMENTS.values() for path in files} == set(_FILES)


@pytest.mark.parametrize("files", _DEPLOYMENTS.values(), ids=_DEPLOYMENTS)
def test_a_deployments_settings_are_valid(files: tuple[Path, ...]) -> None:
    settings = load_settings(files)
    TranscodeSettings()
    for plane, backends in _PLANES.items():
        url: SecretStr = getattr(settings, f"{plane.lower()}_url")
        assert url.get_secret_value().partition(":")[0] in backends


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.name)
def test_every_variable_is_a_setting(path: Path) -> None:
    named = {variable for variable, _ in _ASSIGNMENT.findall(path.read_text())}
    assert named
    assert named - _known() == set()


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.name)
def test_what_is_commented_out_is_valid_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in _ASSIGNMENT.findall(path.read_text()):
        monkeypatch.setenv(variable, value)
    Settings()


# The demo's reasons are for groups of settings.
@pytest.mark.parametrize("path", [path for path in _FILES if path.stem != "demo"], ids=lambda path: path.name)
def test_every_setting_has_its_reason(path: Path) -> None:
    together = {"JOBKIT_COORDINATOR_URL", "JOBKIT_STORE_URL", "JOBKIT_BLOBS_URL", "JOBKIT_HEALTH_HOST"}
    for comment, variable, _ in _blocks(path):
        assert comment or variable in together | {"JOBKIT_LOG_FORMAT"}, f"{variable} comes without a word"


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.name)
def test_what_a_comment_says_of_a_default_is_true(path: Path) -> None:
    fields = {f"JOBKIT_{name.upper()}": field for name, field in Settings.model_fields.items()}
    for comment, variable, value in _blocks(path):
        if variable not in fields or variable.endswith("_URL"):
            continue
        default = fields[variable].default
        if isinstance(default, Concurrency):
            default = default.total
        for claim in _DEFAULT_CLAIM.findall(comment):
            assert float(claim) == default, f"{variable}: the default is {default}, not {claim}"
        if "(The default.)" in comment:
            assert float(value) == default, variable
        if path in (_SINGLE, _TWO) and isinstance(default, int | float):
            assert "default" in comment, f"{variable}: how does {value} compare with the default?"


def test_the_heartbeat_is_said_to_differ_from_the_brokers_default() -> None:
    rows = (_ROOT / "docs/rabbitmq.md").read_text()
    (default,) = re.findall(r"\| `heartbeat` \| (\d+) \|", rows)
    (comment,) = [comment for comment, variable, _ in _blocks(_TWO) if variable == "JOBKIT_BROKER_URL"]
    assert f"(The default is {default}.)" in comment


@pytest.mark.parametrize("path", [_SINGLE, _TWO], ids=lambda path: path.name)
def test_no_password_is_committed(path: Path) -> None:
    secrets = re.findall(r"://[^:/@]*:([^@/]+)@", path.read_text())
    assert secrets
    assert set(secrets) == {"CHANGE-ME"}


@pytest.mark.parametrize("files", [(_SINGLE,), (_SINGLE, _TWO)], ids=["single region", "two regions"])
def test_the_backends_take_the_urls_of_a_real_deployment(files: tuple[Path, ...]) -> None:
    settings = load_settings(files)
    RabbitBroker(settings.broker_url.get_secret_value(), SystemClock())
    parse_redis(settings.coordinator_url.get_secret_value())
    parse_postgres(settings.store_url.get_secret_value())
    parse_s3(settings.blobs_url.get_secret_value())


# ---- what the reasons count on ------------------------------------------------------------------------------------


def _terms(settings: Settings) -> LeaseTerms:
    return LeaseTerms.of(settings)


@pytest.mark.parametrize(
    ("files", "every", "trusted", "outage"), [((_SINGLE,), 5, 13.85, 8), ((_SINGLE, _TWO), 10, 27.7, 17)]
)
def test_leases_last_as_long_as_the_comments_say(
    files: tuple[Path, ...], every: float, trusted: float, outage: float
) -> None:
    text = files[-1].read_text()
    terms = _terms(load_settings(files))
    assert terms.renew_every == every
    assert terms.trusted == pytest.approx(trusted)
    assert int(terms.trusted - terms.renew_every) == outage
    flat = " ".join(text.replace("\n#", " ").split())
    for claim in (f"every {every} s", f"{trusted} s", f"about {outage} s costs no lease"):
        assert claim in flat


def test_a_worker_that_fell_silent_loses_its_queues_before_its_leases() -> None:
    settings = load_settings((_SINGLE, _TWO))
    (heartbeat,) = re.findall(r"heartbeat=(\d+)", settings.broker_url.get_secret_value())
    assert 2 * int(heartbeat) < settings.lease_ttl


def test_supervisors_are_told_to_wait_longer_than_a_drain() -> None:
    drain = load_settings((_SINGLE,)).drain_seconds
    named = re.findall(r"(?:Seconds: |period: |StopSec=)(\d+)", _SINGLE.read_text())
    assert len(named) == 3
    assert all(int(seconds) > drain for seconds in named)


def test_the_bound_on_ids_and_on_memory_are_what_the_comments_say() -> None:
    settings = load_settings((_SINGLE,))
    assert settings.retention_limit / settings.retention_seconds == pytest.approx(8, abs=0.5)
    assert settings.partitions * 250 * settings.max_payload_bytes == 250 * 2**20


# ---- make servers -------------------------------------------------------------------------------------------------


def test_make_servers_starts_all_that_its_file_names() -> None:
    wanted = wanted_servers(_LOCAL)
    assert [plane for server in wanted for plane in server.planes] == ["broker", "coordinator", "store", "blobs"]
    # Below them Linux takes no ports for outgoing connections.
    assert all(1024 < server.port < 32768 for server in wanted)


def test_the_demo_and_whatever_else_is_tried_on_the_servers_agree_on_the_number_of_partitions() -> None:
    assert dotenv_values(_LOCAL)["JOBKIT_PARTITIONS"] == dotenv_values(_CONFIGS / "demo.env")["JOBKIT_PARTITIONS"]
