"""A test of a plugin: one job, run in memory, with no worker and no server.

Run it:

    python -m pytest test_word_count.py
"""

from __future__ import annotations

import asyncio

import pytest
from word_count import Counted, Text, word_count

from jobkit import Reject
from jobkit.testing import run_job


def test_words_are_counted() -> None:
    outcome = asyncio.run(run_job(word_count, Text(document="haiku", text="an old silent pond")))
    assert outcome.result == Counted(words=4)
    assert [(entry.kind, entry.data) for entry in outcome.log] == [("counted", b'{"words":4}')]


def test_an_empty_document_is_rejected() -> None:
    with pytest.raises(Reject, match="empty"):
        asyncio.run(run_job(word_count, Text(document="haiku", text=" ")))
