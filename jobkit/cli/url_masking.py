"""URLs as people may see them: where a backend is, never how to get in.

When in doubt it hides too much: it does not parse a URL, it only cuts secrets out of its text.
"""

from __future__ import annotations

import re

MASK = "***"

# An authority is followed by '/', but a password may hold one that nobody escaped: so up to the last '@'.
_USERINFO = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)([^/].*|)@", re.DOTALL)
_PARAMETER = re.compile(
    r"([?&][^=&#]*(?:pass|pwd|secret|token|key|credential|signature|auth)[^=&#]*=)[^&#]*", re.IGNORECASE
)
# `file:relative/dir` and `memory:` have no authority; elsewhere an '@' without one is a mistake with a secret in it.
_PLAIN = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.-]*://|file:|[A-Za-z][A-Za-z0-9+.-]*:[^@]*$)")


def masked_url(url: str) -> str:
    """Return `url` with its password, and whatever in its query is named like a secret, replaced by `***`.

    A user name without a password is masked too, since tokens are passed that way. What is no URL is masked whole.
    """
    if not _PLAIN.match(url):
        return MASK
    return _PARAMETER.sub(rf"\1{MASK}", _USERINFO.sub(_without_secret, url))


def _without_secret(found: re.Match[str]) -> str:
    scheme, userinfo = found.groups()
    user, colon, _ = userinfo.partition(":")
    return f"{scheme}{user}:{MASK}@" if colon else f"{scheme}{MASK}@"
