"""`run_job` runs one job in memory, in the way a worker would: no services are needed."""

import asyncio

import pytest
from jobkit import Reject
from jobkit.testing import run_job

from word_count import WordCountJob, WordCountResult, word_count


def test_words_are_counted() -> None:
    outcome = asyncio.run(run_job(word_count, WordCountJob(document="haiku", text="an old silent pond")))
    assert outcome.result == WordCountResult(words=4)
    assert [entry.kind for entry in outcome.log] == ["counted"]


def test_an_empty_document_is_rejected() -> None:
    with pytest.raises(Reject, match="empty"):
        asyncio.run(run_job(word_count, WordCountJob(document="haiku", text=" ")))
