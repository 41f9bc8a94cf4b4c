"""URLs of places for objects, and the words that refuse one."""

from __future__ import annotations

import pytest

from jobkit.backends.s3.address import parse_address
from jobkit.cli.url_masking import masked_url
from jobkit.errors import ConfigurationError

ENDPOINT = "http://127.0.0.1:8333"


def test_a_bucket_is_enough() -> None:
    address = parse_address("s3://bucket")
    assert (address.bucket, address.prefix, address.endpoint_url, address.access_key) == ("bucket", "", None, None)
    assert address.addressing_style == "auto"


def test_everything_can_be_said() -> None:
    url = (
        f"s3://key:s%2Fecr%40t@my-bucket/a%20b/c/?endpoint_url={ENDPOINT}&region=eu-central-1&addressing_style=virtual"
    )
    address = parse_address(url)
    assert (address.bucket, address.prefix, address.region) == ("my-bucket", "a b/c/", "eu-central-1")
    assert (address.access_key, address.secret_key) == ("key", "s/ecr@t")
    assert (address.endpoint_url, address.addressing_style) == (ENDPOINT, "virtual")


def test_servers_other_than_amazons_are_asked_by_path() -> None:
    assert parse_address(f"s3://bucket?endpoint_url={ENDPOINT}").addressing_style == "path"


def test_no_secret_is_printed() -> None:
    url = f"s3://key:hunter2@bucket/p?endpoint_url={ENDPOINT}"
    address = parse_address(url)
    assert "hunter2" not in repr(address) + address.name + masked_url(url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3:bucket", "use s3://"),
        ("s3:///prefix", "use s3://"),
        ("s3://bucket:80/p", "use s3://"),
        ("s3://bucket/p#x", "use s3://"),
        ("s3://key@bucket", "a login is"),
        ("s3://:hunter2@bucket", "a login is"),
        ("s3://bucket/a//b", "the prefix"),
        ("s3://bucket/../b", "the prefix"),
        ("s3://bucket?endpoint=x", "no such option: endpoint"),
        ("s3://bucket?region=", "with a value"),
        ("s3://bucket?region=a&region=b", "given once"),
        ("s3://bucket?region", "not a usable URL"),
        ("s3://bucket?addressing_style=odd", "addressing_style is one of"),
        ("s3://bucket?endpoint_url=127.0.0.1:8333", "endpoint_url is http"),
        ("s3://bucket?endpoint_url=http://me:hunter2@host", "without a login"),
    ],
)
def test_other_forms_are_refused_with_those_there_are(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        parse_address(url)
    assert "hunter2" not in str(caught.value)
