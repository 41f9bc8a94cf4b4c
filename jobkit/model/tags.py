"""Tags: words that a job is found by, chosen by whoever submits it. They change nothing of how it runs.

They travel and are kept with the job's trace context, so that a job without any costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from jobkit.model.names import NameRule

MAX_TAGS = 20
# What they are called beside the headers of the trace context.
CARRIED_AS = "jobkit-tags"
_TAG = NameRule("a tag", 64)


def tagged(trace: Mapping[str, str], tags: Collection[str]) -> Mapping[str, str]:
    """Return a trace context that carries these tags. Raises `ValueError` where one is none, or they are too many."""
    if not tags:
        return trace
    if isinstance(tags, str):
        raise ValueError(f"tags are a list of texts, not the text {tags!r}")
    if len(tags) > MAX_TAGS:
        raise ValueError(f"a job can have {MAX_TAGS} tags, not {len(tags)}")
    # Each once, in the order in which they were given.
    return {**trace, CARRIED_AS: " ".join(dict.fromkeys(map(_checked, tags)))}


def tags_in(trace: Mapping[str, str]) -> tuple[str, ...]:
    """Return the tags that a trace context carries."""
    return tuple(trace.get(CARRIED_AS, "").split())


def _checked(tag: str) -> str:
    text = _TAG.check(tag)
    if len(text.split()) != 1 or text != text.strip():
        raise ValueError(f"a tag must be without blanks, not {text!r}")
    return text
