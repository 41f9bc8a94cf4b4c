"""What the client raises, in jobkit's words: what passes by itself, and what a person must mend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ChecksumError,
    ClientError,
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    NoCredentialsError,
    SSLError,
)
from botocore.exceptions import (
    ConnectionError as NotConnected,
)

from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.plane import Plane

# All that may go wrong with a request.
FAULTS = (ClientError, BotoCoreError, aiohttp.ClientError, OSError, TimeoutError)

# Of the client's own errors those that trying again may mend. The rest are about settings.
_TROUBLE = (
    NotConnected,
    HTTPClientError,
    IncompleteReadError,
    FlexibleChecksumError,
    ChecksumError,
    CredentialRetrievalError,
    MetadataRetrievalError,
)
# Answers that say "not now" with a status that otherwise means "never".
_PASSING = {
    "BadDigest",
    "ConditionalRequestConflict",
    "IncompleteBody",
    "InternalError",
    "NoSuchUpload",
    "OperationAborted",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "TooManyRequests",
    "XAmzContentChecksumMismatch",
    "XAmzContentSHA256Mismatch",
}
_LOGIN = {
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}


def code_of(error: ClientError) -> str:
    """Return what the server called the error; a status number where it sent no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    """Return the HTTP status of the answer."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_missing(error: ClientError) -> bool:
    """Return whether it is the object that is not there."""
    return code_of(error) in ("NoSuchKey", "404", "NotFound")


def is_taken(error: ClientError) -> bool:
    """Return whether an object was refused because there is, or may be just now, one of its name."""
    return status_of(error) == 412 or code_of(error) in ("PreconditionFailed", "ConditionalRequestConflict")


def is_unconditional(error: ClientError) -> bool:
    """Return whether the server says that it knows no writes with a condition."""
    return status_of(error) == 501 or code_of(error) == "NotImplemented"


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Raise what the client raises within the block as `ConfigurationError` or `Unavailable`."""
    try:
        yield
    except (FileExistsError, FileNotFoundError):
        raise
    except FAULTS as error:
        raise meaning(error, name) from error


def meaning(error: Exception, name: str) -> Exception:
    """Return what an error of the client means for the place called `name`."""
    if isinstance(error, ClientError):
        return _answered(error, name)
    if isinstance(error, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return ConfigurationError(f"{name}: its certificate is not to be trusted here: {error}")
    if isinstance(error, NoCredentialsError):
        return ConfigurationError(
            f"{name}: no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write s3://KEY:SECRET@BUCKET"
        )
    if isinstance(error, BotoCoreError) and not isinstance(error, _TROUBLE):
        return ConfigurationError(f"{name}: {error}")
    what = str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
    return Unavailable(Plane.BLOBS, f"{name}: {what}")


def _answered(error: ClientError, name: str) -> Exception:
    code, status = code_of(error), status_of(error)
    said = f"{code or status}: {error.response.get('Error', {}).get('Message', '')}".rstrip(": ")
    if code in ("NoSuchBucket", "InvalidBucketName"):
        return ConfigurationError(f"{name}: there is no such bucket; create it, or name another one")
    if code == "RequestTimeTooSkewed":
        return ConfigurationError(f"{name}: the clock here differs from the server's; have it kept by NTP ({said})")
    if code in _LOGIN:
        return ConfigurationError(f"{name}: the credentials or the region are not accepted ({said})")
    if code in _PASSING or status >= 500 or status == 429:
        return Unavailable(Plane.BLOBS, f"{name}: {said}")
    if status in (401, 403):
        return ConfigurationError(f"{name}: access denied ({said}); docs/s3.md lists the permissions jobkit needs")
    if code == "KeyTooLongError":
        return ValueError(f"not a usable blob name: {said}")
    if code == "EntityTooLarge":
        return ValueError(f"a blob is larger than the server takes: {said}")
    return ConfigurationError(f"{name}: {said}")
