"""From URLs to planes: which forms there are, what is shared, and what is said about the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobkit.backends.registry import memory_planes, open_planes
from jobkit.backends.sqlite.notifier import notifier_directory
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.partition import Partition
from jobkit.ops.diagnosis.together import check_together
from jobkit.ports.coordinator import Granted
from jobkit.ports.diagnosis import Status
from jobkit.settings import Settings
from jobkit.testing.conformance.manual_clock import ManualClock
from jobkit.testing.conformance.values import committed, envelope, submitted

FILES = {
    "broker_url": "sqlite:///broker.db",
    "coordinator_url": "sqlite:///coordinator.db",
    "store_url": "sqlite:///store.db",
    "blobs_url": "file:blobs",
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def descriptors() -> set[str]:
    """Return what this process has open, where the system tells."""
    listing = Path("/proc/self/fd")
    return names(listing) if listing.exists() else set()


def settings(**urls: str) -> Settings:
    return Settings.model_validate({**FILES, **urls})


async def problem(**urls: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        async with open_planes(settings(**urls)):
            pass
    return str(caught.value)


async def test_the_defaults_make_one_database_and_one_directory_here(here: Path) -> None:
    async with open_planes(Settings()) as planes:
        await committed(planes.store, await submitted(planes.store, "a"))  # type: ignore[arg-type]
        assert names(here) >= {"jobkit.db", "jobkit-blobs"}
    assert names(here) == {"jobkit.db", "jobkit-blobs"}


async def test_each_plane_works_in_a_file_of_its_own(here: Path) -> None:
    async with open_planes(settings()) as planes:
        await planes.store.submit([])
        await planes.broker.declare("t", 1)
        await planes.broker.publish([(Partition("t", 0), envelope("a"))])
        assert isinstance(await planes.coordinator.claim("r", owner="o", nonce="n", ttl=1.0), Granted)
    assert {"broker.db", "coordinator.db", "store.db", "blobs"} <= names(here)


async def test_names_of_the_same_file_share_one_connection(here: Path) -> None:
    (here / "link.db").symlink_to(here / "jobkit.db")
    same = settings(
        broker_url="sqlite:///jobkit.db", coordinator_url=f"sqlite:///{here}/jobkit.db", store_url="sqlite:///link.db"
    )
    async with open_planes(same):
        assert len(names(notifier_directory("jobkit.db"))) == 1


async def test_paths_may_be_absolute_and_percent_encoded(here: Path) -> None:
    odd = here / "a b?#.db"
    async with open_planes(settings(store_url=f"sqlite:///{here}/a%20b%3F%23.db", blobs_url=f"file://{here}/b%20c")):
        assert odd.exists()
        assert (here / "b c").is_dir()


@pytest.mark.parametrize(
    "url",
    ["sqlite://jobkit.db", "sqlite:jobkit.db", "sqlite:///", "sqlite:///a.db?mode=ro", "sqlite:///a/", "memory:x"],
)
async def test_other_forms_of_a_database_url_are_refused_with_those_there_are(url: str) -> None:
    message = await problem(store_url=url)
    assert message.startswith("JOBKIT_STORE_URL: use sqlite:///relative.db")


@pytest.mark.parametrize("url", ["file://host/dir", "file:", "file:///", "file://", "file:a?b"])
async def test_other_forms_of_a_directory_url_are_refused_with_those_there_are(url: str) -> None:
    assert (await problem(blobs_url=url)).startswith("JOBKIT_BLOBS_URL: use file:relative/dir")


@pytest.mark.parametrize("plane", ["broker", "coordinator", "store", "blobs"])
async def test_an_unknown_scheme_names_the_variable_and_what_is_supported_but_no_secret(plane: str) -> None:
    message = await problem(**{f"{plane}_url": "carrier-pigeon://user:secret@host/loft"})
    assert message.startswith(f"JOBKIT_{plane.upper()}_URL: ")
    assert "carrier-pigeon" in message
    assert ("file:" if plane == "blobs" else "sqlite:") in message
    assert "secret" not in message


@pytest.mark.parametrize("plane", ["broker", "coordinator", "store"])
async def test_a_problem_with_a_database_names_its_variable(plane: str) -> None:
    message = await problem(**{f"{plane}_url": "sqlite:///nosuch/a.db"})
    assert message.startswith(f"JOBKIT_{plane.upper()}_URL: ")
    assert "nosuch does not exist" in message


async def test_what_was_opened_is_closed_when_another_plane_cannot_be() -> None:
    await problem(broker_url="sqlite:///nosuch/a.db")
    before = descriptors()
    await problem(broker_url="sqlite:///nosuch/a.db")
    assert descriptors() == before


@pytest.mark.parametrize("url", ["memory:", "sqlite://:memory:"])
async def test_planes_may_all_be_in_memory(here: Path, url: str) -> None:
    async with open_planes(settings(broker_url=url, coordinator_url=url, store_url=url)) as planes:
        await committed(planes.store, await submitted(planes.store, "a"))  # type: ignore[arg-type]
        await planes.broker.declare("t", 1)
    assert names(here) == {"blobs"}


async def test_planes_for_tests_need_no_settings_and_leave_nothing(here: Path) -> None:
    async with memory_planes(ManualClock()) as planes:
        await committed(planes.store, await submitted(planes.store, "a"))  # type: ignore[arg-type]
        assert (await planes.inspection.counts()).keys == 1
    assert names(here) == set()


async def test_planes_are_closed_when_their_block_ends() -> None:
    async with open_planes(settings()) as planes:
        pass
    with pytest.raises(Unavailable, match=r"^store: "):
        await planes.store.submit([])
    with pytest.raises(Unavailable, match=r"^coordinator: "):
        await planes.coordinator.leases()
    with pytest.raises(Unavailable, match=r"^broker: "):
        await planes.broker.depths()


@pytest.mark.parametrize("forgotten", ["broker_url", "coordinator_url", "store_url"])
async def test_a_plane_that_was_forgotten_beside_servers_is_named(forgotten: str) -> None:
    servers = {
        "broker_url": "amqp://guest@127.0.0.1:1/",
        "coordinator_url": "redis://127.0.0.1:1/0",
        "store_url": "postgresql://u@127.0.0.1:1/db",
        "blobs_url": "file:blobs",
    }
    del servers[forgotten]
    variable = f"JOBKIT_{forgotten.upper()}"
    with pytest.raises(ConfigurationError, match=f"^{variable} is not set.*set {variable}$"):
        async with open_planes(Settings.model_validate(servers)):
            pass
    findings = check_together(Settings.model_validate(servers))
    assert [(finding.status, variable in finding.what) for finding in findings] == [(Status.FAIL, True)]
    # Whoever has said so has all workers on this machine; nothing answers there, which is another matter.
    chosen = Settings.model_validate({**servers, forgotten: "sqlite:///jobkit.db"})
    with pytest.raises(Unavailable):
        async with open_planes(chosen):
            pass
    (told,) = check_together(chosen)
    assert (told.status, variable in told.change) == (Status.WARN, True)


def test_planes_on_one_machine_fit_together_whoever_named_them() -> None:
    assert check_together(Settings()) == []
    assert check_together(settings()) == []


def test_files_of_one_machine_beside_servers_are_told_of() -> None:
    urls = {"broker_url": "amqp://h/", "coordinator_url": "redis://h/0", "store_url": "redis://h/0"}
    (told,) = check_together(Settings.model_validate(urls))
    assert (told.status, "JOBKIT_BLOBS_URL" in told.change) == (Status.WARN, True)
