"""The files of a new plugin. It works as it is: its own test passes before anything in it is changed."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

_PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.26"]
build-backend = "hatchling.build"

[project]
name = "$name"
version = "0.1.0"
description = "The job type $name, a plugin for jobkit."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["jobkit>=$jobkit_version"]

[project.optional-dependencies]
dev = ["pytest>=8"]

# This is how jobkit finds the processor once the package is installed.
[project.entry-points."jobkit.processors"]
$name = "$module:$module"

[tool.hatch.build.targets.wheel]
packages = ["src/$module"]

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["src"]
"""

_MODULE = '''\
"""The job type `$name`: counts the words of a document."""

from datetime import timedelta

from jobkit import Context, Payload, Reject, Result, RetryPolicy, processor

__all__ = ["${camel}Job", "${camel}Result", "$module"]


class ${camel}Job(Payload):
    """What the job takes. Anything that does not fit this model is refused before it is submitted."""

    document: str
    text: str


class ${camel}Result(Result):
    """What the job returns. It is stored together with everything else the job changes, or not at all."""

    words: int


@processor(
    "$name",
    # Jobs of one key never run at the same time. ordered=True would also keep them in the order of their submission.
    key=lambda job: job.document,
    timeout=timedelta(minutes=1),
    retry=RetryPolicy(max_attempts=5, initial=timedelta(seconds=1)),
)
async def $module(job: ${camel}Job, ctx: Context) -> ${camel}Result:
    """Count the words.

    An exception means another attempt, as the retry policy says; `Reject` means that there is no use in one. Because
    an attempt may be repeated, write only through `ctx`: what it takes becomes visible once, when the job commits.
    """
    if not job.text.strip():
        raise Reject("the document is empty")
    await ctx.progress(0.5, "counting")
    words = len(job.text.split())
    ctx.append("counted", {"words": words})
    return ${camel}Result(words=words)
'''

_TEST = '''\
"""`run_job` runs one job in memory, in the way a worker would: no services are needed."""

import asyncio

import pytest
from jobkit import Reject
from jobkit.testing import run_job

from $module import ${camel}Job, ${camel}Result, $module


def test_words_are_counted() -> None:
    outcome = asyncio.run(run_job($module, ${camel}Job(document="haiku", text="an old silent pond")))
    assert outcome.result == ${camel}Result(words=4)
    assert [entry.kind for entry in outcome.log] == ["counted"]


def test_an_empty_document_is_rejected() -> None:
    with pytest.raises(Reject, match="empty"):
        asyncio.run(run_job($module, ${camel}Job(document="haiku", text=" ")))
'''

_README = """\
# $name

A jobkit plugin with one job type, `$name`.

Test it; nothing needs to be installed but jobkit and pytest:

    python -m pytest

Install it where workers run. jobkit finds it by its entry point:

    pip install -e .
    jobkit doctor

Run a worker, and in another terminal submit a job and wait for its result:

    jobkit worker $name
    jobkit submit $name --payload '{"document": "haiku", "text": "an old silent pond"}' --wait
"""

_GITIGNORE = """\
__pycache__/
.pytest_cache/
*.egg-info/
dist/
*.db
*.db-*
jobkit-blobs/
"""


def plugin_files(name: str, jobkit_version: str) -> Mapping[str, str]:
    """Return the files of plugin `name` by their paths within its directory."""
    module = module_of(name)
    camel = "".join(part.capitalize() for part in module.split("_"))
    words = {"name": name, "module": module, "camel": camel, "jobkit_version": jobkit_version}
    templates = {
        "pyproject.toml": _PYPROJECT,
        "README.md": _README,
        ".gitignore": _GITIGNORE,
        f"src/{module}/__init__.py": _MODULE,
        f"src/{module}/py.typed": "",
        f"tests/test_{module}.py": _TEST,
    }
    return {path: Template(text).substitute(words) for path, text in templates.items()}


def module_of(name: str) -> str:
    """Return the name under which plugin `name` is imported."""
    return name.replace("-", "_")
