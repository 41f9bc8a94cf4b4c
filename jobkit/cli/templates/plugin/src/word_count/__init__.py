"""The job type `word-count`: counts the words of a document."""

from datetime import timedelta

from jobkit import Context, Payload, Reject, Result, RetryPolicy, processor

__all__ = ["WordCountJob", "WordCountResult", "word_count"]


class WordCountJob(Payload):
    """What the job takes. Anything that does not fit this model is refused before it is submitted."""

    document: str
    text: str


class WordCountResult(Result):
    """What the job returns. It is stored together with everything else the job changes, or not at all."""

    words: int


@processor(
    "word-count",
    # Jobs of one key never run at the same time. ordered=True would also keep them in the order of their submission.
    key=lambda job: job.document,
    timeout=timedelta(minutes=1),
    retry=RetryPolicy(max_attempts=5, initial=timedelta(seconds=1)),
)
async def word_count(job: WordCountJob, ctx: Context) -> WordCountResult:
    """Count the words.

    An exception means another attempt, as the retry policy says; `Reject` means that there is no use in one. Because
    an attempt may be repeated, write only through `ctx`: what it takes becomes visible once, when the job commits.
    """
    if not job.text.strip():
        raise Reject("the document is empty")
    await ctx.progress(0.5, "counting")
    words = len(job.text.split())
    ctx.append("counted", {"words": words})
    return WordCountResult(words=words)
