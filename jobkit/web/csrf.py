"""Forms of other sites are not taken for ours: where a change has to come from, and what its form carries."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.requests import Request

from jobkit.web.access import Access, User


def form_token(access: Access, user: User) -> str:
    """Return what every form of this user carries."""
    return access.signature("form", f"{user.role.value}.{user.name}")


def is_own_form(request: Request, access: Access, user: User, said: str) -> bool:
    """Return whether a form comes from a page of this site and was made for this user; `said` is the token in it."""
    return is_same_origin(request) and hmac.compare_digest(form_token(access, user).encode(), said.encode())


def is_same_origin(request: Request) -> bool:
    """Return whether a browser says that a page of this site sends the request; what is no browser says neither."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
