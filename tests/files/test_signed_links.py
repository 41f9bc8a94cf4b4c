"""Links and pins: whoever lacks the secret makes none, and none outlives its end or opens another key."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from jobkit.files.signed_links import NEVER, FileLinks, Pin
from jobkit.testing.conformance.manual_clock import ManualClock

SECRET = "a secret of tests"
HOUR = timedelta(hours=1)


def _said(link: str) -> tuple[str, str]:
    query = parse_qs(urlsplit(link).query)
    return query["expires"][0], query["signature"][0]


def test_a_link_is_good_for_its_key_until_it_ends() -> None:
    clock = ManualClock()
    links = FileLinks(SECRET, clock=clock)
    link = links.path("t", "a/b", "hls/ü.m3u8", expires_in=HOUR)
    assert link.startswith("/t/a%2Fb/hls/%C3%BC.m3u8?")
    said = _said(link)
    assert links.allows("t", "a/b", *said) == int(said[0])
    assert FileLinks(SECRET, clock=clock).allows("t", "a/b", *said) is not None
    clock.advance(3_601)
    assert links.allows("t", "a/b", *said) is None


def test_a_link_that_was_changed_opens_nothing() -> None:
    links = FileLinks(SECRET, clock=ManualClock())
    expires, signature = _said(links.path("t", "k", "a", expires_in=HOUR))
    for type, key, until, signed in (
        ("u", "k", expires, signature),
        ("t", "l", expires, signature),
        # Signed as one text they would be alike.
        ("tk", "", expires, signature),
        ("t", "k", str(int(expires) + 1), signature),
        ("t", "k", f"0{expires}", signature),
        ("t", "k", "", signature),
        ("t", "k", "-1", signature),
        ("t", "k", "9" * 5_000, signature),
        ("t", "k", expires, ""),
        ("t", "k", expires, signature.upper()),
        ("t", "k", expires, "é" * 32),
    ):
        assert links.allows(type, key, until, signed) is None
    assert FileLinks("another secret of tests", clock=ManualClock()).allows("t", "k", expires, signature) is None


def test_a_pin_is_of_one_version_of_one_key() -> None:
    clock = ManualClock()
    links = FileLinks(SECRET, clock=clock)
    until = int(clock.wall()) + 60
    for pin in (Pin("7-nonce.1", NEVER), Pin("7-nonce~ab", until)):
        text = links.pinned("t", "k", pin)
        assert links.pin_of("t", "k", text) == pin
        assert links.pin_of("t", "other", text) is None
        assert links.pin_of("t", "k", text.replace("7-", "8-")) is None
    text = links.pinned("t", "k", Pin("7-n", until))
    clock.advance(61)
    assert links.pin_of("t", "k", text) is None


@pytest.mark.parametrize("text", ["", ".", "..", "...", "a.0.", "a.b.c", "7-n.0.deadbeef"])
def test_what_is_no_pin_is_none(text: str) -> None:
    assert FileLinks(SECRET).pin_of("t", "k", text) is None


def test_a_secret_that_can_be_guessed_and_a_link_that_has_ended_are_refused() -> None:
    with pytest.raises(ValueError, match="16 characters"):
        FileLinks("short")
    with pytest.raises(ValueError, match="future"):
        FileLinks(SECRET).path("t", "k", "a", expires_in=timedelta())
