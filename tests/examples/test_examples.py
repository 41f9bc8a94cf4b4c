"""Each program in examples/ does what its docstring says, run as a reader would run it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
# The programs that need no server, and the job types that they define.
EMBEDDED = (
    "word_count",
    "account",
    "retries",
    "files",
    "follow_ups",
    "batch",
    "limits",
    "tenants",
    "schedules",
    "debounce",
    "priorities",
    "typed",
    "steps",
    "versions",
    "resources",
    "around",
    "blocking",
    "fan_out",
)
TYPES = (
    "word-count",
    "deposit",
    "fetch",
    "report",
    "order",
    "receipt",
    "square",
    "call",
    "nightly",
    "summary",
    "letter",
    "stretch",
    "album",
    "invoice",
    "price",
    "divide",
    "count",
    "book",
    "page",
    "binding",
    "picture",
)


def _environment(modules: tuple[str, ...], **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("JOBKIT_")}
    around = "around" if "around" in modules else ""
    named = {"JOBKIT_PLUGINS": ",".join(modules), "JOBKIT_MIDDLEWARE": around}
    return {**inherited, **named, "PYTHONPATH": str(EXAMPLES), **more}


@contextmanager
def _process(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    """Run a module until the block ends, then stop it as Ctrl-C does. Yields the file that it logs to."""
    log = folder / f"{words[0]}.log"
    with log.open("w") as stderr:
        process = subprocess.Popen([sys.executable, "-m", *words], cwd=folder, env=environment, stderr=stderr)
    try:
        yield log
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) in (0, 130, -signal.SIGINT), log.read_text()
    finally:
        process.kill()
        process.wait()


def _run(program: str, folder: Path, environment: Mapping[str, str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / program)],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh folder, in which a worker runs the processors of every example that needs no server."""
    fresh = tmp_path_factory.mktemp("examples")
    with _process(["jobkit", "worker", *TYPES], fresh, _environment(EMBEDDED)):
        yield fresh


def _ran(name: str, folder: Path) -> list[str]:
    return _run(f"{name}.py", folder, _environment((name,)))


def test_word_count(folder: Path) -> None:
    assert _ran("word_count", folder)[-2:] == ["committed", "words=4"]


def test_account(folder: Path) -> None:
    assert _ran("account", folder) == [
        '1 {"cents":100,"deposits":1}',
        '2 {"cents":120,"deposits":2}',
        '3 {"cents":123,"deposits":3}',
    ]


def test_typed(folder: Path) -> None:
    assert _ran("typed", folder) == [
        "annann, bobbob, eveeve 18",
        "6",
        "rejected: nothing would be left 1",
        "{'name': 'zoezoezoe', 'length': 9}",
    ]


def test_script(folder: Path) -> None:
    assert _run("script.py", folder, _environment(("typed",))) == ["annann bobbob eveeve"]


def test_steps(folder: Path) -> None:
    assert _ran("steps", folder) == [
        '"1 of 10 photos by the last attempt, a cover of 14 letters"',
        "*** Summer ***",
    ]


def test_webhooks(tmp_path: Path) -> None:
    told = re.findall(r"(JOBKIT_WEBHOOK_\w+)=('.*'|\S+)", (EXAMPLES / "webhooks.py").read_text())
    settings = {name: value.strip("'") for name, value in told}
    assert len(settings) == 3
    environment = _environment(("webhooks", "workers.webhook"), **settings)
    with _process(["jobkit", "worker", "resize", "webhook"], tmp_path, environment):
        assert _run("webhooks.py", tmp_path, environment) == ["photo.resized {'width': 640} v1,"]


def test_priorities(folder: Path) -> None:
    assert _ran("priorities", folder) == ["61 letters; the urgent one began before half of the others: yes"]


def test_debounce(folder: Path) -> None:
    assert _ran("debounce", folder) == ["summed up to change 9, 9 earlier requests were replaced"] * 2


def test_retries(folder: Path) -> None:
    assert _ran("retries", folder) == [
        'committed "fetched in attempt 3"',
        "  attempt 1: Retry: the server asked us to wait",
        "  attempt 2: ConnectionError: the server is down",
        "dead ",
        "  attempt 1: Reject: only https is fetched",
    ]


def test_files(folder: Path) -> None:
    said = _ran("files", folder)[-4:]
    assert said == ["report.csv 25 bytes", "pages/2026-01.txt 15 bytes", "pages/2026-02.txt 15 bytes", "ann in 2026-02"]
    committed = list((folder / "jobkit-blobs" / "report" / "ann").iterdir())
    assert len(committed) == 1
    assert (committed[0] / "pages" / "2026-02.txt").read_text() == "ann in 2026-02\n"


def test_fan_out(folder: Path) -> None:
    assert _ran("fan_out", folder) == ["Ants has 6 words on 3 pages"]


def test_follow_ups(folder: Path) -> None:
    assert _ran("follow_ups", folder) == ["receipt for order 7 sent to ann@example.org"]


def test_limits(folder: Path) -> None:
    assert _ran("limits", folder) == ["7 calls, two of one tenant at once: no"]


def test_tenants(folder: Path) -> None:
    assert _ran("tenants", folder) == ["36 of 40 wait for a place", "the small one was among the first"]


def test_batch(folder: Path) -> None:
    assert _ran("batch", folder) == ["100 accepted", "0 accepted", "sum: 328350"]


def test_schedules(folder: Path) -> None:
    assert _ran("schedules", folder) == ['committed "the report of purchases"']


def test_resources(folder: Path) -> None:
    assert _ran("resources", folder) == ["3 x apple: 90 cents", "2 x pear: 100 cents"]


def test_around(folder: Path) -> None:
    assert _ran("around", folder) == ["dead"]
    deadline = time.monotonic() + 60
    while not (folder / "dead.txt").exists() or not (folder / "dead.txt").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (folder / "dead.txt").read_text() == "6:0: rejected: nobody can divide by zero\n"
    refused = subprocess.run(
        [sys.executable, str(EXAMPLES / "around.py")],
        cwd=folder, env=_environment(("around",), CLOSED="1"), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "PermissionError: 1 refused: we are closed" in refused.stderr


def test_blocking(folder: Path) -> None:
    assert _ran("blocking", folder) == ["committed 168 ", "dead  MemoryExceeded"]


def test_versions(folder: Path) -> None:
    assert _ran("versions", folder) == [
        "read: customer='ann' amount=Decimal('12.5')",
        "done: ben pays 7.50",
    ]


@pytest.mark.parametrize("name", ["test_word_count.py", "test_orders.py"])
def test_tests_of_a_plugin_and_of_an_application(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES / name)],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "2 passed" in done.stdout, done.stdout


def _address(log: Path) -> str:
    deadline = time.monotonic() + 60
    while "running on " not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return log.read_text().split("running on ")[1].split()[0]


def test_web(folder: Path) -> None:
    with _process(["uvicorn", "web:application", "--port", "0"], folder, _environment(("word_count",))) as log:
        address = _address(log)
        payload = json.dumps({"document": "haiku", "text": "an old silent pond"}).encode()

        def post(body: bytes) -> tuple[int, str, str]:
            headers = {"Idempotency-Key": "haiku-1"}
            request = urllib.request.Request(f"{address}/counts", data=body, headers=headers)  # noqa: S310
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return answer.status, json.load(answer)["id"], answer.headers["Location"]

        assert post(payload) == post(payload) == (202, "haiku-1", "/counts/haiku-1")
        for body, status in ((b"{}", 422), (payload.replace(b"pond", b"lake"), 409)):
            with pytest.raises(HTTPError) as refused:
                post(body)
            assert refused.value.code == status
            refused.value.close()
        with pytest.raises(HTTPError) as missing:
            urllib.request.urlopen(f"{address}/counts/nothing", timeout=30)  # noqa: S310
        assert missing.value.code == 404
        missing.value.close()
        _run("word_count.py", folder, _environment(("word_count",)))  # The same key: it is done after ours.
        with urllib.request.urlopen(f"{address}/counts/haiku-1", timeout=30) as answer:  # noqa: S310
            assert json.load(answer) == {"state": "committed", "result": {"words": 4}}


@pytest.mark.servers("postgres")
async def test_own_tables(tmp_path: Path) -> None:
    from tests.lab.servers.postgres import ready_server

    server = await ready_server()
    async with server.own_database() as database:
        here = {f"JOBKIT_{plane}_URL": "sqlite:///jobkit.db" for plane in ("BROKER", "COORDINATOR")}
        environment = _environment(("own_tables",), JOBKIT_STORE_URL=server.url(database), **here)
        with _process(["jobkit", "worker", "payment"], tmp_path, environment):
            said = _run("own_tables.py", tmp_path, environment)
    assert said == ["committed", "dead Reject: ann cannot pay 60", "40 cents left"]


def test_the_first_program_of_the_readme(tmp_path: Path) -> None:
    readme = (EXAMPLES.parent / "README.md").read_text()
    program = readme.split("`greet.py`")[1].split("```python\n")[1].split("```")[0]
    (tmp_path / "greet.py").write_text(program)
    shown = readme.split("as JSON:\n\n```\n")[1].split("```")[0].splitlines()
    environment = _environment(("greet",), PYTHONPATH=str(tmp_path))
    with _process(["jobkit", "worker", "greet"], tmp_path, environment):
        printed = _run(str(tmp_path / "greet.py"), tmp_path, environment)
    assert printed[-1] == shown[-1]
    assert {line.split()[0] for line in printed} <= {"queued", "running", "committed"}
    assert len([line for line in program.splitlines() if line]) <= 15


def test_every_example_is_tested_and_listed() -> None:
    index = (EXAMPLES / "README.md").read_text()
    programs = sorted(path.name for path in EXAMPLES.glob("*.py"))
    assert [name for name in programs if f"[{name}]({name})" not in index] == []
    assert {*EMBEDDED, "script", "web", "webhooks", "own_tables", "test_word_count", "test_orders"} == {
        Path(name).stem for name in programs
    }
    too_long = [name for name in programs if not 20 <= len((EXAMPLES / name).read_text().splitlines()) <= 65]
    assert too_long == []
