"""Languages as containers write them (ISO 639-2) and as playlists do (RFC 5646), and names that tell tracks apart."""

from __future__ import annotations

from collections.abc import Iterable

# Bibliographic and terminological codes of the languages that have a shorter code, as far as they are in common use.
_SHORT = {
    long: short
    for short, longs in {
        "ar": "ara", "bg": "bul", "bn": "ben", "ca": "cat", "cs": "cze ces", "da": "dan", "de": "ger deu",
        "el": "gre ell", "en": "eng", "es": "spa", "et": "est", "fa": "per fas", "fi": "fin", "fr": "fre fra",
        "he": "heb", "hi": "hin", "hr": "hrv", "hu": "hun", "id": "ind", "is": "ice isl", "it": "ita", "ja": "jpn",
        "ko": "kor", "lt": "lit",
        "lv": "lav", "ms": "may msa", "nb": "nob", "nl": "dut nld", "nn": "nno", "no": "nor", "pl": "pol", "pt": "por",
        "ro": "rum ron", "ru": "rus", "sk": "slo slk", "sl": "slv", "sr": "srp", "sv": "swe", "ta": "tam", "te": "tel",
        "th": "tha", "tr": "tur", "uk": "ukr", "ur": "urd", "vi": "vie", "zh": "chi zho",
    }.items()
    for long in longs.split()
}  # fmt: skip
_UNDETERMINED = {"", "und", "mis", "zxx", "mul"}


def playlist_language(code: str | None) -> str | None:
    """Return a language as RFC 5646 writes it; None where a container does not tell it."""
    letters = (code or "").lower()
    if letters in _UNDETERMINED or not (letters.isascii() and letters.isalpha() and 2 <= len(letters) <= 3):
        return None
    return _SHORT.get(letters, letters)


def distinct_names(languages: Iterable[str | None], otherwise: str) -> list[str]:
    """Return a name for each track, by its language; those of one language are numbered from the second on."""
    names: list[str] = []
    for language in languages:
        name = language or otherwise
        count = sum(1 for each in names if each == name or each.startswith(f"{name} "))
        names.append(f"{name} {count + 1}" if count else name)
    return names
