"""The pages: their links lead somewhere, and every word of ours is explained where it is first used."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "examples/README.md",
]
GLOSSARY = ROOT / "docs/glossary.md"


def _without_code(page: Path) -> str:
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def _anchors(page: Path) -> set[str]:
    text = page.read_text()
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    missing = []
    for link in re.findall(r"\]\(([^)\s]+)\)", _without_code(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            missing.append(link)
    assert missing == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_each_page_begins_with_what_most_readers_came_for(page: Path) -> None:
    text = re.sub(r"<!--.*?-->\n*", "", page.read_text(), flags=re.DOTALL)
    title, first, *_ = text.split("\n\n")
    assert title.startswith("# ")
    assert len(first.splitlines()) == 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_that_a_page_names_exist(page: Path) -> None:
    named = {name for name in re.findall(r"`(test_\w+)`", page.read_text()) if not name.endswith("_")}
    there = {
        name
        for folder in (ROOT / "tests", ROOT / "jobkit/testing")
        for path in folder.rglob("test_*.py")
        for name in [path.stem, *re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(), flags=re.MULTILINE)]
    }
    assert named <= there, f"not there: {sorted(named - there)}"


def test_the_glossary_is_in_order_and_says_each_word_once() -> None:
    words = re.findall(r"\*\*([^*]+)\*\* \|", GLOSSARY.read_text())
    assert words == sorted(set(words))


def test_the_readme_links_each_word_of_ours_once_at_its_first_use() -> None:
    linked = re.findall(r"glossary\.md#([\w-]+)", (ROOT / "README.md").read_text())
    assert len(linked) == len(set(linked))
    wanted = {"lease", "fencing-token", "mark", "lane", "outbox", "relay", "partition", "gap", "parked", "dead-letter"}
    assert wanted | {"projection", "store", "key", "worker", "processor"} <= set(linked)


def test_the_suites_run_where_the_page_says_how(tmp_path: Path) -> None:
    """The example of docs/writing-a-backend.md, in a folder of its own: what an author of a backend would have."""
    page = (ROOT / "docs/writing-a-backend.md").read_text()
    for name in ("conftest.py", "test_coordinator.py", "pytest.ini"):
        code = page.split(f"`{name}`")[1].split("```")[1].split("\n", 1)[1]
        (tmp_path / name).write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    (passed,) = re.findall(r"(\d+) passed", done.stdout)
    assert int(passed) >= 20
