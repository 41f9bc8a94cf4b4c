"""What an `s3:` URL names. Secrets in it are never printed."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from jobkit.errors import ConfigurationError

_FORM = "use s3://BUCKET/PREFIX?endpoint_url=https://HOST&region=NAME (everything but the bucket may be left out)"
_OPTIONS = ("endpoint_url", "region", "addressing_style")
_STYLES = ("path", "virtual", "auto")


@dataclass(frozen=True, slots=True)
class S3Address:
    """A place for objects: a bucket and the beginning of all keys in it, which is empty or ends with a slash.

    `access_key` and `secret_key` are None where they are found as AWS's own tools find them.
    """

    bucket: str
    prefix: str
    endpoint_url: str | None
    region: str | None
    addressing_style: str
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What people call it."""
        at = f" at {self.endpoint_url}" if self.endpoint_url else ""
        return f"s3://{self.bucket}/{self.prefix}{at}"


def parse_address(url: str) -> S3Address:
    """Return the place that `url` names. Raises `ConfigurationError`, which does not repeat the URL."""
    try:
        parts = urlsplit(url)
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise ConfigurationError(f"not a usable URL: {_FORM}") from error
    login, _, bucket = parts.netloc.rpartition("@")
    if parts.scheme != "s3" or not bucket or ":" in bucket or parts.fragment:
        raise ConfigurationError(_FORM)
    chosen = _checked(options)
    endpoint = chosen.get("endpoint_url")
    access_key, secret_key = _login(login)
    return S3Address(
        bucket=unquote(bucket),
        prefix=_prefix(parts.path),
        endpoint_url=endpoint,
        region=chosen.get("region"),
        # Servers other than Amazon's seldom have a host name for each bucket.
        addressing_style=chosen.get("addressing_style", "path" if endpoint else "auto"),
        access_key=access_key,
        secret_key=secret_key,
    )


def _checked(options: list[tuple[str, str]]) -> dict[str, str]:
    unknown = sorted({name for name, _ in options} - set(_OPTIONS))
    if unknown:
        raise ConfigurationError(f"no such option: {', '.join(unknown)}; there are {', '.join(_OPTIONS)}")
    chosen = dict(options)
    if len(chosen) < len(options) or not all(chosen.values()):
        raise ConfigurationError("each option is given once, and with a value")
    if chosen.get("addressing_style", _STYLES[0]) not in _STYLES:
        raise ConfigurationError(f"addressing_style is one of {', '.join(_STYLES)}")
    if "endpoint_url" in chosen:
        _check_endpoint(chosen["endpoint_url"])
    return chosen


def _check_endpoint(endpoint: str) -> None:
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
        raise ConfigurationError(
            "endpoint_url is http://HOST:PORT or https://HOST:PORT, without a login; that goes before the bucket: "
            "s3://KEY:SECRET@BUCKET"
        )


def _prefix(path: str) -> str:
    prefix = unquote(path).strip("/")
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        raise ConfigurationError("the prefix is parts with a '/' between them, none of which is empty, '.' or '..'")
    return f"{prefix}/" if prefix else ""


def _login(login: str) -> tuple[str | None, str | None]:
    if not login:
        return None, None
    access_key, colon, secret_key = login.partition(":")
    if not access_key or not colon or not secret_key:
        raise ConfigurationError("a login is KEY:SECRET@BUCKET, with special characters written as %XX")
    return unquote(access_key), unquote(secret_key)
