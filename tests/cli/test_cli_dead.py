"""`jobkit dead` and `jobkit gaps`: nothing is deleted or skipped without a word that says so."""

from __future__ import annotations

import json
import re

import pytest

from jobkit.model.partition import Partition
from jobkit.ports.inspection import JobState
from jobkit.ports.planes import Planes
from tests.cli.conftest import Shell
from tests.cli.world import World

pytestmark = pytest.mark.usefixtures("world")


@pytest.fixture
def dead(world: World) -> list[int]:
    """Three dead letters: a job with a history, an unreadable message, a job of another type."""
    traceback = 'Traceback (most recent call last):\n  File "kettle.py", line 1\nValueError: no milk'
    first = world.accepted("note", {"about": "tea"}, id="t-1")
    return [
        world.buried(first, reason="too many attempts", error="ValueError: no milk", traceback=traceback),
        world.unreadable(b"\xff\x00 what is this"),
        world.buried(world.accepted("chapter", {"about": "book"}, id="c-1"), reason="rejected"),
    ]


def _numbers(shell: Shell, *words: str) -> list[int]:
    return [letter["number"] for letter in json.loads(shell("dead", "list", "--json", *words).stdout)]


def test_dead_letters_are_listed(shell: Shell, dead: list[int]) -> None:
    result = shell("dead", "list")
    assert result.exit_code == 0
    heading, *rows = result.stdout.splitlines()
    assert heading.split() == ["NUMBER", "TYPE", "AGE", "TRIES", "KEY", "REASON"]
    number, type, age, *rest = rows[0].split()
    assert (number, type, rest) == (str(dead[0]), "note", ["1", "tea", "too", "many", "attempts"])
    assert re.fullmatch(r"\d+s", age)
    assert rows[1].split()[1] == "-"
    assert _numbers(shell) == dead
    assert _numbers(shell, "--type", "note") == dead[:1]
    assert _numbers(shell, "--after", str(dead[0]), "--limit", "1") == dead[1:2]


def test_no_dead_letters_are_said_on_stderr(shell: Shell) -> None:
    result = shell("dead", "list")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no dead letters\n")


def test_a_dead_letter_is_shown_whole_by_number_or_id(shell: Shell, dead: list[int]) -> None:
    by_number, by_id = shell("dead", "show", str(dead[0])).stdout, shell("dead", "show", "t-1").stdout
    assert re.sub(r"\d+s ago", "", by_number) == re.sub(r"\d+s ago", "", by_id)
    assert "too many attempts" in by_number
    assert '{"about":"tea","text":"","seconds":0.0}' in by_number
    assert by_number.count('File "kettle.py", line 1') == 1


def test_a_message_that_nobody_can_read_is_shown_all_the_same(shell: Shell, dead: list[int]) -> None:
    result = shell("dead", "show", str(dead[1]))
    assert "malformed" in result.stdout
    assert "\\xff\\x00 what is this" in result.stdout
    (letter,) = json.loads(shell("dead", "show", str(dead[1]), "--json").stdout)
    assert letter["id"] is None
    assert letter["body"] == "\ufffd\x00 what is this"
    assert set(letter) == {
        *("number", "id", "type", "key", "sequence", "reason", "detail", "failures", "body", "headers", "died_at"),
    }


@pytest.mark.parametrize("command", ["show", "requeue", "purge"])
def test_a_letter_that_is_not_there_is_an_error(shell: Shell, command: str) -> None:
    result = shell("dead", command, "4711")
    assert result.exit_code == 1
    assert "no dead letter '4711'" in result.stderr


def test_a_requeued_job_runs_again(shell: Shell, dead: list[int], world: World) -> None:
    result = shell("dead", "requeue", "t-1")
    assert result.exit_code == 0
    assert result.stderr == "1 dead letter will be tried again\n"
    world.worked_off("note")
    job = world.ask(lambda planes: planes.inspection.job("t-1"))
    assert job is not None
    assert job.state is JobState.COMMITTED


def test_requeue_all_tells_which_could_not_be(shell: Shell, dead: list[int]) -> None:
    result = shell("dead", "requeue", "--all", "--json")
    assert json.loads(result.stdout) == {"requeued": [dead[0], dead[2]], "refused": [dead[1]]}
    assert result.exit_code == 1
    assert f"no job that could run can be made of it: {dead[1]}" in result.stderr
    assert _numbers(shell) == [dead[1]]


def test_requeue_all_of_a_type_leaves_the_others(shell: Shell, dead: list[int]) -> None:
    assert shell("dead", "requeue", "--all", "--type", "chapter").exit_code == 0
    assert _numbers(shell) == dead[:2]


@pytest.mark.parametrize("command", ["requeue", "purge"])
@pytest.mark.parametrize("words", [[], ["3", "--all"], ["3", "--type", "note"]])
def test_which_letters_are_meant_must_be_clear(shell: Shell, dead: list[int], command: str, words: list[str]) -> None:
    assert shell("dead", command, *words, *(["--yes"] if command == "purge" else [])).exit_code == 2
    assert _numbers(shell) == dead


def test_purge_without_a_terminal_wants_yes(shell: Shell, dead: list[int]) -> None:
    result = shell("dead", "purge", "--all")
    assert result.exit_code == 2
    assert "Delete 3 dead letters for good?" in result.stderr
    assert "say --yes" in result.stderr
    assert _numbers(shell) == dead


def test_purge_with_yes_deletes_only_what_was_named(shell: Shell, dead: list[int]) -> None:
    result = shell("dead", "purge", str(dead[1]), "c-1", "--yes")
    assert result.exit_code == 0
    assert result.stderr == "2 dead letters deleted\n"
    assert _numbers(shell) == dead[:1]


def test_purge_all_goes_through_every_page(shell: Shell, dead: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobkit.cli.commands.dead._PAGE", 2)
    assert json.loads(shell("dead", "purge", "--all", "--yes", "--json").stdout) == {"purged": dead}
    assert _numbers(shell) == []


# ---- gaps --------------------------------------------------------------------------------------------------------


@pytest.fixture
def gap(world: World) -> None:
    """A book whose first chapter is dead and whose second and third are parked behind it."""
    first = world.accepted("chapter", {"about": "book", "text": "1"}, id="one")
    world.buried(first, reason="rejected")
    for number, id in ((2, "two"), (3, "three")):
        world.parked(world.accepted("chapter", {"about": "book", "text": str(number)}, id=id))


@pytest.mark.usefixtures("gap")
def test_gaps_are_listed(shell: Shell) -> None:
    _, row = shell("gaps", "list").stdout.splitlines()
    *what, age = row.split()[:6]
    assert what == ["chapter", "book", "1", "2", "2"]
    assert re.fullmatch(r"\d+s", age)
    (listed,) = json.loads(shell("gaps", "list", "--json").stdout)
    assert listed.pop("since") > 0
    assert listed.pop("reason")
    assert listed == {"type": "chapter", "key": "book", "expected": 1, "first": 2, "parked": 2}


def test_no_gaps_are_said_on_stderr(shell: Shell) -> None:
    assert shell("gaps", "list").stderr == "no key stands still\n"


@pytest.mark.usefixtures("gap")
def test_skipping_gives_up_what_is_missing_and_goes_on(shell: Shell, world: World) -> None:
    result = shell("gaps", "skip", "chapter", "book", "--before", "2", "--yes", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["before"] == 2
    world.worked_off("chapter")
    states = {job.id: job.state.value for job in world.ask(lambda planes: planes.inspection.jobs())}
    assert states == {"one": "dead", "two": "committed", "three": "committed"}


@pytest.mark.usefixtures("gap")
def test_skipping_without_a_terminal_wants_yes(shell: Shell) -> None:
    result = shell("gaps", "skip", "chapter", "book", "--before", "3")
    assert result.exit_code == 2
    assert "Give up sequences 1 to 2 of chapter/book for good?" in result.stderr
    assert len(json.loads(shell("gaps", "list", "--json").stdout)) == 1


@pytest.mark.usefixtures("gap")
def test_skipping_nothing_is_an_error_of_usage(shell: Shell) -> None:
    result = shell("gaps", "skip", "chapter", "book", "--before", "1", "--yes")
    assert result.exit_code == 2
    assert "--before 1 gives nothing up: chapter/book waits for sequence 1" in result.stderr


@pytest.mark.usefixtures("gap")
@pytest.mark.parametrize(
    "words", [["skip", "chapter", "bock", "--before", "9", "--yes"], ["resume", "chapter", "bock"]]
)
def test_a_key_that_does_not_stand_still_is_left_alone(shell: Shell, world: World, words: list[str]) -> None:
    result = shell("gaps", *words)
    assert result.exit_code == 1
    assert "chapter/bock does not stand still" in result.stderr
    assert world.accepted("chapter", {"about": "bock"}).sequence == 1


@pytest.mark.usefixtures("gap")
def test_resuming_after_a_requeue_brings_the_key_up_to_date(shell: Shell, world: World) -> None:
    assert shell("dead", "requeue", "one").exit_code == 0
    result = shell("gaps", "resume", "chapter", "book")
    assert result.stderr == "2 jobs of chapter/book will be tried again\n"
    world.worked_off("chapter")
    assert {job.state.value for job in world.ask(lambda planes: planes.inspection.jobs())} == {"committed"}


def test_a_letter_is_not_requeued_while_another_job_holds_its_name(shell: Shell, world: World) -> None:
    note = ("submit", "note", "--payload", '{"about": "tea"}', "--unique", "note:tea", "--id")
    shell(*note, "a")

    async def bury(planes: Planes) -> None:
        upto = await planes.store.horizon()
        (job,), _ = await planes.store.adrift(Partition("note", 0), 1, after=0, upto=upto, limit=9)
        await planes.store.bury_message(job.envelope.body, job.envelope, reason="invalid")

    world.ask(bury)
    shell(*note, "b")
    result = shell("dead", "requeue", "a")
    assert result.exit_code == 1
    assert "not requeued, since job b holds its unique name: 1" in result.stderr
    shell("cancel", "b", "--yes")
    assert shell("dead", "requeue", "a").exit_code == 0
