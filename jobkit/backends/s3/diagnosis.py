"""What must be so of a bucket for jobkit to rely on it, and what is: permissions, conditions, lifecycle, clock.

What it writes, to see whether it can, it takes back. It lies where no job writes, and below the prefix.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from jobkit.backends.s3.address import S3Address, parse_address
from jobkit.backends.s3.client import answered, open_client
from jobkit.backends.s3.faults import code_of, is_taken, is_unconditional, status_of, translated
from jobkit.model.clock import Clock
from jobkit.ports.diagnosis import Finding, Status, clock_finding

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

_PROBE = b"jobkit doctor\n"


async def diagnose(url: str, clock: Clock) -> list[Finding]:
    """Return what there is to say of the place at `url`. Raises `ConfigurationError` or `Unavailable`."""
    address = parse_address(url)
    async with open_client(address) as client:
        with translated(address.name):
            asked = clock.wall()
            listed = await answered(client.list_objects_v2(Bucket=address.bucket, Prefix=address.prefix, MaxKeys=1))
            findings = [
                Finding(Status.OK, f"bucket {address.bucket} answers and can be listed"),
                _clock(listed["ResponseMetadata"]["HTTPHeaders"], asked, clock.wall()),
            ]
            return [*findings, *await _permissions(client, address), *await _settings(client, address)]


async def _permissions(client: S3Client, address: S3Address) -> list[Finding]:
    """Do to one object what jobkit does to many, and to one upload."""
    bucket, key = address.bucket, f"{address.prefix}.jobkit-doctor/{secrets.token_hex(8)}"
    denied: list[str] = []
    conditional = False

    def put() -> Awaitable[Any]:
        return client.put_object(Bucket=bucket, Key=key, Body=_PROBE, IfNoneMatch="*")

    try:
        if await _may(denied, "s3:PutObject", put):
            conditional = await _is_refused(put)
            await _may(denied, "s3:GetObject", lambda: client.get_object(Bucket=bucket, Key=key))
            begun = await answered(client.create_multipart_upload(Bucket=bucket, Key=key))
            upload = begun["UploadId"]
            parts = partial(client.list_parts, Bucket=bucket, Key=key, UploadId=upload)
            await _may(denied, "s3:ListMultipartUploadParts", parts)
            abort = partial(client.abort_multipart_upload, Bucket=bucket, Key=key, UploadId=upload)
            await _may(denied, "s3:AbortMultipartUpload", abort)
    finally:
        await _may(denied, "s3:DeleteObject", lambda: client.delete_object(Bucket=bucket, Key=key))
    uploads = partial(client.list_multipart_uploads, Bucket=bucket, MaxUploads=1)
    await _may(denied, "s3:ListBucketMultipartUploads", uploads)
    if denied:
        what = f"these credentials lack {', '.join(denied)}"
        return [Finding(Status.FAIL, what, "grant what docs/s3.md lists, on the bucket and on the prefix")]
    may = Finding(Status.OK, "these credentials may write, read, list and delete objects and uploads")
    return [may, _conditions(conditional)]


async def _may(denied: list[str], permission: str, request: Callable[[], Awaitable[Any]]) -> bool:
    """Ask for something, tell whether it was granted, and note the permission where it was not."""
    try:
        answer = await answered(request())
        if "Body" in answer:
            answer["Body"].close()
    except ClientError as error:
        if status_of(error) == 403:
            denied.append(permission)
            return False
        if not is_unconditional(error):
            raise
    return True


async def _is_refused(put: Callable[[], Awaitable[Any]]) -> bool:
    """Return whether the server keeps a name from being written twice."""
    try:
        await answered(put())
    except ClientError as error:
        if is_taken(error):
            return True
        if not is_unconditional(error):
            raise
    return False


def _conditions(conditional: bool) -> Finding:
    if conditional:
        return Finding(Status.OK, "it refuses to write an object twice (If-None-Match)")
    what = "it knows no conditional writes: a processor that writes one name twice replaces its own file"
    return Finding(Status.WARN, what, "use a newer version of the server, if there is one; no other job is in danger")


def _clock(headers: Mapping[str, str], asked: float, answered: float) -> Finding:
    if "date" not in headers:
        return Finding(Status.OK, "it does not tell its time")
    found = clock_finding(parsedate_to_datetime(headers["date"]).timestamp(), asked, answered)
    if found.status is Status.OK:
        return found
    # It refuses what is signed with a clock that is off by a quarter of an hour.
    return replace(found, what=f"{found.what}; from 900 s on it refuses everything")


async def _settings(client: S3Client, address: S3Address) -> list[Finding]:
    bucket = address.bucket
    versioning = await _asked(lambda: client.get_bucket_versioning(Bucket=bucket))
    lifecycle = await _asked(lambda: client.get_bucket_lifecycle_configuration(Bucket=bucket))
    lock = await _asked(lambda: client.get_object_lock_configuration(Bucket=bucket))
    rules = [rule for rule in (lifecycle or {}).get("Rules", ()) if rule.get("Status") == "Enabled"]
    return [_versions(versioning, rules), _lock(lock), _expiry(rules), _unfinished(lifecycle, rules)]


async def _asked(request: Callable[[], Awaitable[Any]]) -> Mapping[str, Any] | None:
    """Return a setting of the bucket, nothing where it is not set, None where it is not told."""
    try:
        found: Mapping[str, Any] = await answered(request())
    except ClientError as error:
        if status_of(error) in (403, 405, 501) or code_of(error) == "NotImplemented":
            return None
        if status_of(error) in (400, 404):
            return {}
        raise
    return found


def _versions(versioning: Mapping[str, Any] | None, rules: list[Any]) -> Finding:
    if versioning is None:
        return _untold("s3:GetBucketVersioning", "whether the bucket keeps old versions")
    if versioning.get("Status") != "Enabled":
        return Finding(Status.OK, "the bucket keeps no old versions of objects")
    if any("NoncurrentVersionExpiration" in rule for rule in rules):
        return Finding(Status.OK, "the bucket keeps old versions for a time")
    what = "the bucket keeps old versions for ever: what `jobkit sweep` removes is still paid for"
    return Finding(Status.WARN, what, "suspend versioning, or add a lifecycle rule with NoncurrentVersionExpiration")


def _lock(lock: Mapping[str, Any] | None) -> Finding:
    if lock is None:
        return _untold("s3:GetBucketObjectLockConfiguration", "whether objects are locked")
    if lock.get("ObjectLockConfiguration", {}).get("Rule"):
        what = "new objects are locked: `jobkit sweep` cannot free their space before the lock ends"
        return Finding(Status.WARN, what, "take the default retention from the bucket, or use another one")
    return Finding(Status.OK, "objects are not locked")


def _expiry(rules: list[Any]) -> Finding:
    if any("Expiration" in rule for rule in rules):
        what = "a lifecycle rule expires objects: files of committed jobs disappear"
        return Finding(Status.WARN, what, "limit that rule to a prefix that is not jobkit's")
    return Finding(Status.OK, "no lifecycle rule expires objects")


def _unfinished(lifecycle: Mapping[str, Any] | None, rules: list[Any]) -> Finding:
    if lifecycle is None:
        return _untold("s3:GetLifecycleConfiguration", "its lifecycle rules")
    if any("AbortIncompleteMultipartUpload" in rule for rule in rules):
        return Finding(Status.OK, "a lifecycle rule aborts unfinished uploads")
    what = "no lifecycle rule aborts unfinished uploads: those of killed workers stay until `jobkit sweep --apply`"
    return Finding(Status.WARN, what, "add a rule with AbortIncompleteMultipartUpload after 7 days")


def _untold(permission: str, what: str) -> Finding:
    return Finding(Status.WARN, f"it does not tell {what}", f"permit {permission}, or look for yourself")
