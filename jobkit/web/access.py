"""Who looks at the dashboard, and what they may do: told by a token, by a proxy, or by being on this machine.

It does not know passwords: a token lets in, and the name that goes with it is what its bearer says.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import secrets
from dataclasses import dataclass
from enum import IntEnum

from starlette.requests import Request

from jobkit.model.clock import Clock
from jobkit.model.ids import user_at_host
from jobkit.plugin.registry import Registry
from jobkit.settings import Settings

COOKIE = "jobkit_session"
SESSION_SECONDS = 12 * 3600
_NAME_CHARACTERS = 100
# What proxies say of those for whom they ask.
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_HERE = ("localhost", "127.0.0.1", "::1")


class Role(IntEnum):
    """What a user may do; each may do what those before it may."""

    VIEWER = 1
    OPERATOR = 2


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who looks."""

    name: str
    role: Role

    @property
    def operates(self) -> bool:
        """Return whether they may change anything."""
        return self.role is Role.OPERATOR


class Access:
    """Tells who sends a request and whether they may change anything, by the settings."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        self._tokens = {
            role: token.get_secret_value()
            for role, token in ((Role.OPERATOR, settings.web_token), (Role.VIEWER, settings.web_viewer_token))
            if token is not None
        }
        self._header = settings.web_user_header
        self._proxies = settings.web_proxies
        self._operators = settings.web_operators
        self.read_only = settings.web_read_only
        # What several servers share where they share a token; else this process has a secret of its own.
        shared = "\0".join(self._tokens.values())
        self._secret = hashlib.sha256(f"jobkit web\0{shared or secrets.token_hex(32)}".encode()).digest()

    @property
    def open_here(self) -> bool:
        """Return whether nobody has to sign in, and only this machine is let in."""
        return not self._tokens and self._header is None

    @property
    def signs_in(self) -> bool:
        """Return whether people can sign in with a token."""
        return bool(self._tokens)

    def user(self, request: Request) -> User | None:
        """Return who sends a request; None for nobody that is let in."""
        if self.open_here:
            return User(user_at_host(), Role.OPERATOR) if _is_local(request) else None
        return self._of_proxy(request) or self._of_cookie(request) or self._of_header(request)

    def is_encrypted(self, request: Request) -> bool:
        """Return whether the browser came by TLS, to us or to a proxy of ours."""
        by_proxy = _peer(request) in self._proxies and request.headers.get("x-forwarded-proto") == "https"
        return by_proxy or request.url.scheme == "https"

    def signed_in(self, name: str, token: str) -> tuple[User, str] | None:
        """Return who a token lets in, and the cookie that remembers it."""
        role = self._role_of(token)
        if role is None:
            return None
        user = User(_named(name, role), role)
        until = int(self._clock.wall()) + SESSION_SECONDS
        said = f"{until}.{role.value}.{user.name.encode().hex()}"
        return user, f"{said}.{self.signature('session', said)}"

    def may_change(self, user: User | None) -> bool:
        """Return whether somebody may change anything."""
        return user is not None and user.operates and not self.read_only

    def signature(self, what: str, said: str) -> str:
        """Return what only this dashboard could have signed; `what` keeps signatures of one purpose from another."""
        return hmac.new(self._secret, f"{what}\0{said}".encode(), hashlib.sha256).hexdigest()

    def _of_proxy(self, request: Request) -> User | None:
        name = None if self._header is None else request.headers.get(self._header)
        if not name or _peer(request) not in self._proxies:
            return None
        operates = "*" in self._operators or name in self._operators
        return User(name[:_NAME_CHARACTERS], Role.OPERATOR if operates else Role.VIEWER)

    def _of_cookie(self, request: Request) -> User | None:
        said, _, signature = request.cookies.get(COOKIE, "").rpartition(".")
        if not self._tokens or not hmac.compare_digest(self.signature("session", said).encode(), signature.encode()):
            return None
        until, role, name = said.split(".")
        return User(bytes.fromhex(name).decode(), Role(int(role))) if int(until) > self._clock.wall() else None

    def _of_header(self, request: Request) -> User | None:
        scheme, _, said = request.headers.get("authorization", "").partition(" ")
        name, token = "", said
        if scheme.lower() == "basic":
            try:
                name, _, token = base64.b64decode(said, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return None
        elif scheme.lower() != "bearer":
            return None
        role = self._role_of(token)
        return None if role is None else User(_named(name, role), role)

    def _role_of(self, token: str) -> Role | None:
        for role, known in self._tokens.items():
            if hmac.compare_digest(known.encode(), token.encode()):
                return role
        return None


def may_see(user: User, registry: Registry, type: str) -> bool:
    """Return whether somebody may see what jobs of a type say.

    Operators may. Others see what no type under that name keeps private, where those are known here.
    """
    members = registry.members(type)
    return user.operates or (bool(members) and not any(one.private for one in members))


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_local(request: Request) -> bool:
    # Another site's name may be made to point here: so it counts by which name this was asked for, too.
    # A proxy on this machine speaks for others.
    forwarded = any(name in request.headers for name in _FORWARDED)
    return is_loopback(_peer(request)) and request.url.hostname in _HERE and not forwarded


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""


def _named(name: str, role: Role) -> str:
    return name.strip()[:_NAME_CHARACTERS] or role.name.lower()
