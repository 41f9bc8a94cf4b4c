"""`jobkit submit`: the id alone on stdout, and with --wait the result; words about it on stderr."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobkit.model.layout import Layout
from jobkit.ports.inspection import JobState
from jobkit.ports.planes import Planes
from jobkit.ports.store import Expired
from tests.cli.conftest import Shell
from tests.cli.world import World


def test_stdout_is_the_id_alone(shell: Shell, world: World) -> None:
    result = shell("submit", "note", "--payload", '{"about": "tea"}')
    assert result.exit_code == 0
    id = result.stdout.strip()
    job = world.ask(lambda planes: planes.inspection.job(id))
    assert job is not None
    assert (job.type, job.key, job.state) == ("note", "tea", JobState.QUEUED)
    assert result.stderr == f"job {id} (note/tea) submitted\n"


def test_a_submitted_job_is_published_at_once(shell: Shell, world: World) -> None:
    shell("submit", "note", "--payload", '{"about": "tea"}')
    assert sum(depth.ready for depth in world.ask(lambda planes: planes.broker.depths())) == 1


@pytest.mark.parametrize("payload", ["-", "@tea.json"])
def test_the_payload_may_come_from_stdin_or_a_file(shell: Shell, tmp_path: Path, world: World, payload: str) -> None:
    (tmp_path / "tea.json").write_text('{"about": "tea"}')
    result = shell("submit", "note", "--payload", payload, "--key", "green", input='{"about": "tea"}')
    job = world.ask(lambda planes: planes.inspection.job(result.stdout.strip()))
    assert job is not None
    assert job.key == "green"


def test_json_tells_all_of_a_submission(shell: Shell) -> None:
    words = ("submit", "chapter", "--payload", '{"about": "book"}', "--id", "one", "--json")
    first, again = shell(*words), shell(*words)
    expected = {
        "id": "one",
        "type": "chapter",
        "key": "book",
        "sequence": 1,
        "known": False,
        "published": True,
        "due_at": None,
        "kept": False,
        "replaced": None,
        "waits": False,
    }
    assert json.loads(first.stdout) == expected
    assert json.loads(again.stdout) == {**expected, "known": True}
    assert "was submitted before; nothing was changed" in again.stderr


def test_wait_prints_the_result_of_a_job_that_is_done(shell: Shell, world: World) -> None:
    world.committed(world.accepted("note", {"about": "tea"}, id="tea-1"), result=b'{"said":"milk first"}')
    result = shell("submit", "note", "--payload", '{"about": "tea"}', "--id", "tea-1", "--wait")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"said": "milk first"}


def test_wait_follows_a_job_to_its_result(shell: Shell, world: World) -> None:
    with world.worker("note"):
        payload = '{"about": "tea", "text": "milk first", "seconds": 1.2}'
        result = shell("submit", "note", "--payload", payload, "--wait", "--timeout", "120")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == {"said": "milk first"}
    assert "running" in result.stderr
    assert result.stderr.endswith("committed 100% step 4\n")


def test_wait_with_json_prints_a_line_for_each_change(shell: Shell, world: World) -> None:
    with world.worker("note"):
        result = shell("submit", "note", "--payload", '{"about": "tea", "seconds": 1.2}', "--wait", "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) > 2
    assert len({line["id"] for line in lines}) == 1
    assert [line["progress"] for line in lines] == sorted(line["progress"] for line in lines)
    assert lines[-1]["state"] == "committed"
    assert lines[-1]["result"] == {"said": ""}


def test_wait_for_a_job_that_is_refused_fails_with_its_reason(shell: Shell, world: World) -> None:
    with world.worker("refusal"):
        result = shell("submit", "refusal", "--payload", '{"about": "tea"}', "--id", "r-1", "--wait")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "job r-1 failed for good: " in result.stderr
    assert "nobody may speak about tea" in result.stderr
    assert "jobkit dead show r-1" in result.stderr


def test_wait_for_a_job_behind_a_gap_fails_and_points_to_it(shell: Shell, world: World) -> None:
    world.accepted("chapter", {"about": "book", "text": "1"})
    second = world.accepted("chapter", {"about": "book", "text": "2"}, id="second")
    world.parked(second)
    result = shell("submit", "chapter", "--payload", '{"about": "book", "text": "2"}', "--id", "second", "--wait")
    assert result.exit_code == 1
    assert "jobkit gaps list" in result.stderr


def test_a_wait_that_is_over_says_that_the_job_goes_on(shell: Shell, world: World) -> None:
    words = ("submit", "note", "--payload", '{"about": "tea"}', "--id", "t-1", "--wait", "--timeout", "0.2")
    result = shell(*words)
    assert result.exit_code == 1
    assert "no live worker serves 'note'; the job waits for one: jobkit worker note" in result.stderr
    assert "no longer waiting; the job goes on: jobkit status t-1" in result.stderr
    job = world.ask(lambda planes: planes.inspection.job("t-1"))
    assert job is not None
    assert job.state is JobState.QUEUED


def test_a_timeout_without_a_wait_is_an_error_of_usage(shell: Shell) -> None:
    result = shell("submit", "note", "--payload", "{}", "--timeout", "3")
    assert result.exit_code == 2
    assert "--timeout goes with --wait" in result.stderr


def test_a_job_that_the_broker_did_not_take_is_accepted_all_the_same(shell: Shell, world: World) -> None:
    moving = Layout.first(2).changed(3)
    assert world.ask(lambda planes: planes.store.set_layout("note", None, moving))
    result = shell("submit", "note", "--payload", '{"about": "ale"}')
    assert result.exit_code == 0
    assert "accepted, but the broker did not take it yet; a worker will publish it" in result.stderr


def test_a_job_is_scheduled_for_a_time_or_after_seconds(shell: Shell, world: World) -> None:
    note = ("submit", "note", "--payload", '{"about": "tea"}', "--id")
    at = shell(*note, "at", "--at", "2126-12-24T18:00:00+01:00")
    assert (at.exit_code, at.stdout) == (0, "at\n")
    assert "is scheduled for 2126-12-24 17:00:00Z" in at.stderr
    assert json.loads(shell(*note, "after", "--after", "3600", "--json").stdout)["due_at"] > 0
    assert "2126-12-24 17:00:00Z" in shell("status", "at").stdout
    listed = json.loads(shell("jobs", "--state", "scheduled", "--json").stdout)
    assert {job["id"] for job in listed} == {"at", "after"}
    assert shell("cancel", "--type", "note", "--state", "scheduled", "--yes").stderr == "2 jobs cancelled\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--at", "2126-12-24T18:00:00"), "time zone"),
        (("--at", "tomorrow"), "tomorrow"),
        (("--at", "2126-12-24T18:00:00Z", "--after", "1"), "not both"),
    ],
)
def test_a_time_that_is_not_clear_is_refused(shell: Shell, words: tuple[str, ...], told: str) -> None:
    result = shell("submit", "note", "--payload", "{}", *words)
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_job_that_has_not_begun_in_time_expires(shell: Shell, world: World) -> None:
    note = ("submit", "note", "--payload", '{"about": "tea"}', "--id")
    assert shell(*note, "later", "--expires", "2126-12-24T18:00:00+01:00").exit_code == 0
    assert "2126-12-24 17:00:00Z" in shell("status", "later").stdout
    shell(*note, "a", "--expires", "0")

    async def look(planes: Planes) -> list[Expired]:
        return list(await planes.store.expire_due(limit=10))

    assert world.ask(look) == [Expired("a", "note")]
    (listed,) = json.loads(shell("jobs", "--state", "expired", "--json").stdout)
    assert (listed["id"], listed["reason"]) == ("a", "it had not begun in time")
    waited = shell(*note, "a", "--wait")
    assert waited.exit_code == 1
    assert "job a expired: it had not begun in time" in waited.stderr


@pytest.mark.parametrize(
    ("expires", "told"),
    [("2126-12-24T18:00:00", "time zone"), ("tomorrow", "tomorrow"), ("-1", "negative"), ("nan", "nan")],
)
def test_an_expiry_that_is_not_clear_is_refused(shell: Shell, expires: str, told: str) -> None:
    result = shell("submit", "note", "--payload", "{}", f"--expires={expires}")
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_unique_name_is_held_by_one_job_at_a_time(shell: Shell) -> None:
    note = ("submit", "note", "--payload", '{"about": "tea"}', "--unique", "note:tea")
    assert shell(*note, "--id", "a").exit_code == 0
    kept = shell(*note, "--id", "b")
    assert (kept.exit_code, kept.stdout) == (0, "a\n")
    assert "job a (note/tea) holds that unique name; it is kept" in kept.stderr
    replacing = shell(
        *note, "--id", "c", "--while", "unfinished", "--on-conflict", "replace", "--after", "60", "--json"
    )
    assert (json.loads(replacing.stdout)["id"], json.loads(replacing.stdout)["replaced"]) == ("c", "a")
    assert "job a, which had not begun, is replaced and cancelled" in replacing.stderr
    assert "is scheduled for" in replacing.stderr
    told = json.loads(shell(*note, "--json").stdout)
    assert (told["id"], told["kept"], told["known"]) == ("c", True, False)
    listed = {job["id"]: (job["state"], job["unique"]) for job in json.loads(shell("jobs", "--json").stdout)}
    assert listed == {"a": ("cancelled", "note:tea"), "c": ("scheduled", "note:tea")}
    assert "replaced by c" in shell("status", "a").stdout
    table = shell("jobs").stdout
    assert "UNIQUE" in table
    assert "note:tea" in table


def test_waiting_for_a_job_that_is_kept_is_waiting_for_the_one_that_was_there(shell: Shell, world: World) -> None:
    note = ("submit", "note", "--payload", '{"about": "tea"}', "--unique", "note:tea", "--while", "unfinished")
    shell(*note, "--id", "a")
    waited = shell(*note, "--id", "b", "--wait", "--timeout", "0.1")
    assert waited.exit_code == 1
    assert "the job goes on: jobkit status a" in waited.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--unique", ""), "1 to 512 bytes"),
        (("--unique", "x" * 513), "1 to 512 bytes"),
        (("--unique", "a\nb"), "control characters"),
        (("--while", "unfinished"), "go with"),
        (("--unique", "a", "--while", "running"), "running"),
        (("--unique", "a", "--on-conflict", "drop"), "drop"),
    ],
)
def test_a_name_that_is_none_is_refused(shell: Shell, words: tuple[str, ...], told: str) -> None:
    result = shell("submit", "note", "--payload", "{}", *words)
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_job_is_told_of_by_its_commit(shell: Shell, world: World) -> None:
    note = ("submit", "note", "--payload", '{"about": "tea"}')
    told = ("--notify", '{"type": "errand", "payload": {"about": "told"}}')
    assert shell(*note, *told, *told, "--id", "a").exit_code == 0
    world.worked_off("note", "errand")
    assert [job["key"] for job in json.loads(shell("jobs", "--type", "errand", "--json").stdout)] == ["told", "told"]


@pytest.mark.parametrize(
    ("told", "code", "problem"),
    [
        ("errand", 2, "--notify 'errand' is none: say"),
        ('{"type": "errand"}', 2, "is none: say"),
        ('{"type": "errand", "payload": {}, "to": "me"}', 2, "is none: say"),
        ('{"type": "errand", "payload": {}, "on": ["started"]}', 2, "is none: say"),
        ('{"type": "errand", "payload": {}, "on": []}', 2, "is none: say"),
        ('{"type": "errand", "payload": {"abuot": "tea"}}', 2, "abuot"),
        ('{"type": "nosuch", "payload": {}}', 2, "nobody can be notified by a job of type 'nosuch'"),
    ],
)
def test_what_cannot_be_told_is_named(shell: Shell, told: str, code: int, problem: str) -> None:
    result = shell("submit", "note", "--payload", '{"about": "tea"}', "--notify", told)
    assert (result.exit_code, problem in result.stderr) == (code, True), result.stderr


def test_a_job_is_submitted_with_tags_and_shown_with_them(shell: Shell) -> None:
    words = ("submit", "note", "--payload", '{"about": "tea"}', "--id", "t", "--tag", "nightly", "--tag", "eu")
    assert shell(*words).exit_code == 0
    assert json.loads(shell("status", "t", "--json").stdout)["tags"] == ["nightly", "eu"]
    assert "nightly eu" in shell("status", "t").stdout
    refused = shell("submit", "note", "--payload", '{"about": "tea"}', "--tag", "two words")
    assert refused.exit_code == 2
    assert "without blanks" in refused.stderr
