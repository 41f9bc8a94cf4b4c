"""What Redis's errors mean for the caller: trouble that passes, or something a person must mend.

It does not retry anything. Errors of a programming mistake (a broken script, a wrong type) are left as they are.
"""

from __future__ import annotations

import ssl

from redis import exceptions

from jobkit.errors import ConfigurationError, JobkitError, Unavailable
from jobkit.model.plane import Plane

# What a script is told where a command of its own is not permitted: by Redis up to 7.0, and by later ones and Valkey.
_IN_SCRIPT = ("The user executing the script can't", "ACL failure in script")
_LOGIN = (exceptions.AuthenticationError, exceptions.AuthorizationError)

# By the first word of the server's answer. The driver takes that word away where it knows it, and keeps it elsewhere.
_PASSING = {
    "BUSY": "it is busy with a script; look for one that does not end (SCRIPT KILL ends it)",
    "CLUSTERDOWN": "its cluster is down",
    "LOADING": "it is still loading its data",
    "MASTERDOWN": "it is a replica that lost its primary",
    "MISCONF": "it cannot save its data, and takes no writes until it can: look at its disk and its log",
    "NOREPLICAS": "too few of its replicas answer (min-replicas-to-write)",
    "OOM": "its memory is full; nothing was written, work goes on once there is room: raise maxmemory",
    "READONLY": "it accepts no writes (a replica, perhaps); work goes on once a primary answers there",
    "TRYAGAIN": "its cluster is being rearranged",
    "UNBLOCKED": "its role has just changed",
}
_TO_MEND = {
    "NOPERM": "its user lacks a permission; docs/redis.md lists what is needed",
    "MOVED": "it is a node of a cluster that keeps our keys elsewhere: name a server that is not clustered",
    "CROSSSLOT": "it is a node of a cluster: name a server that is not clustered",
}


def code_of(error: BaseException) -> str:
    """Return the first word of the server's answer behind `error`, such as OOM, or "" where there is none."""
    code = getattr(error, "status_code", None)
    if isinstance(code, str):
        return code
    return str(error).partition(" ")[0] if isinstance(error, exceptions.ResponseError) else ""


def ends_connection(error: BaseException) -> bool:
    """Return whether the server said that it is not the right one any more: its address is looked for anew."""
    return code_of(error) in ("READONLY", "MASTERDOWN", "LOADING", "UNBLOCKED", "NOAUTH")


def translated(error: Exception, plane: Plane, name: str) -> Exception:
    """Return what the caller of a plane should get for `error` from the server `name`; others come back unchanged."""
    found = _meaning(error, plane, name)
    if found is None:
        return error
    found.__cause__ = error
    return found


def _meaning(error: Exception, plane: Plane, name: str) -> JobkitError | None:
    code = "NOPERM" if any(words in str(error) for words in _IN_SCRIPT) else code_of(error)
    if isinstance(error, _LOGIN):
        return ConfigurationError(f"{name} refuses this user or password: check them in the URL ({error})")
    if code in _TO_MEND:
        return ConfigurationError(f"{name}: {_TO_MEND[code]} ({error})")
    if code in _PASSING:
        return Unavailable(plane, f"{name}: {_PASSING[code]} ({error})")
    if "DB index is out of range" in str(error):
        return ConfigurationError(f"{name}: there is no such database; the server's setting `databases` says how many")
    if _is_untrusted(error):
        return ConfigurationError(
            f"{name}: its certificate is not trusted; name its issuer with ssl_ca_certs ({error})"
        )
    if isinstance(error, TimeoutError | exceptions.TimeoutError):
        return Unavailable(plane, f"{name} does not answer in time")
    if isinstance(error, exceptions.InvalidResponse):
        return Unavailable(plane, f"{name}: {error}, so the connection was closed")
    if isinstance(error, exceptions.ResponseError):
        return None
    if isinstance(error, exceptions.RedisError | OSError):
        return Unavailable(plane, f"{name} cannot be reached: {error}")
    return None


def _is_untrusted(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
