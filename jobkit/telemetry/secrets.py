"""Lines of other libraries as people may see them: without what lets somebody in.

What jobkit itself logs holds no secret to begin with. Libraries quote URLs, headers and signed requests at "debug", and
now and then in an error.
"""

from __future__ import annotations

import re

MASK = "***"

# They log whole requests and answers at "debug", credentials and what was signed with them included: of all that
# nothing is needed to see what goes wrong, and no pattern finds all of it.
REVEALING = ("botocore", "aiobotocore", "boto3", "s3transfer", "httpcore", "hpack", "urllib3")

# All of these have bounds: a library may log a megabyte, and a pattern must not look for its end at each letter.
_USERINFO = re.compile(r"(://[^\s/:@'\"]{0,200}):[^\s'\"]{1,300}@")
_NAME = r"(?:authorization|passw(?:or)?d|secret|token|signature|credential|api[_-]?key)[\w-]{0,20}"
# `name: value`, `name=value`, `'name': b'value'`; a header's value goes on to the end of its line.
_QUOTED = re.compile(rf"({_NAME}[\"']?\s{{0,9}}[:=]\s{{0,9}}b?)([\"'])(?:(?!\2).)*\2", re.IGNORECASE)
_BARE = re.compile(rf"({_NAME}\s{{0,9}}[:=]\s{{0,9}})((?:(?:basic|bearer|negotiate)\s+)?[^\s,;&'\"]+)", re.IGNORECASE)
# AMQP's way to log in: NUL, user, NUL, password, as the bytes of a frame are shown.
_PLAIN_LOGIN = re.compile(r"(\\x00[^\\'\"]{1,200}\\x00)[^'\"]+?(?=\\x0|['\"])")


def without_secrets(text: str) -> str:
    """Return `text` with passwords in URLs, and values named like a secret, replaced by `***`."""
    text = _USERINFO.sub(rf"\1:{MASK}@", text)
    text = _QUOTED.sub(rf"\1\2{MASK}\2", text)
    text = _BARE.sub(rf"\1{MASK}", text)
    return _PLAIN_LOGIN.sub(rf"\1{MASK}", text)
