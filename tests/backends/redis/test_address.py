"""From URLs to addresses: what is understood, what is refused, and that no password is ever told."""

from __future__ import annotations

import pytest

from jobkit.backends.redis.address import parse_address
from jobkit.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "name", "hosts", "service", "database", "login"),
    [
        ("redis://", "Redis at localhost:6379/0", (("localhost", 6379),), "", 0, {}),
        ("redis://h", "Redis at h:6379/0", (("h", 6379),), "", 0, {}),
        ("redis://h:1/3", "Redis at h:1/3", (("h", 1),), "", 3, {}),
        ("redis://[::1]:1", "Redis at ::1:1/0", (("::1", 1),), "", 0, {}),
        ("redis://:pw@h", "Redis at h:6379/0", (("h", 6379),), "", 0, {"password": "pw"}),
        (
            "rediss://me:p%40%2Fw%3A@h/1",
            "Redis at h:6379/1",
            (("h", 6379),),
            "",
            1,
            {"username": "me", "password": "p@/w:"},
        ),
        (
            "redis+sentinel://:pw@a,b:1,c/main/2",
            "Redis at a:26379,b:1,c:26379/main/2",
            (("a", 26379), ("b", 1), ("c", 26379)),
            "main",
            2,
            {"password": "pw"},
        ),
    ],
)
def test_a_url_names_a_database(
    url: str, name: str, hosts: tuple[tuple[str, int], ...], service: str, database: int, login: dict[str, str]
) -> None:
    address = parse_address(url)
    assert (address.name, address.hosts, address.service, address.database) == (name, hosts, service, database)
    assert address.login == login
    assert (address.tls is not None) == url.startswith("rediss")


def test_sentinels_may_have_a_login_of_their_own() -> None:
    address = parse_address("redis+sentinel://:a@h/main?sentinel_username=u&sentinel_password=p%2Bq")
    assert address.login == {"password": "a"}
    assert address.sentinel_login == {"username": "u", "password": "p+q"}


def test_options_of_tls_are_taken_where_tls_is_used() -> None:
    address = parse_address("rediss://h?ssl_ca_certs=/a/ca.pem&ssl_check_hostname=false&ssl_cert_reqs=required")
    assert address.tls == {"ssl_ca_certs": "/a/ca.pem", "ssl_check_hostname": False, "ssl_cert_reqs": "required"}


@pytest.mark.parametrize(
    "url",
    [
        "redis:h",
        "redis:/h",
        "http://:hunter2@h",
        "redis://:hunter2@h:port",
        "redis://:hunter2/x@h",
        "redis://:hunter2#x@h",
        "redis://:hunter2@x@h",
        "redis://:hunter2@h/zero",
        "redis://:hunter2@a,b",
        "redis://:hunter2@h?ssl_ca_certs=x",
        "redis://:hunter2@h?password=hunter2",
        "redis://:hunter2@h?socket_timeout=1",
        "redis://:hunter2@h?nonsense",
        "rediss://:hunter2@h?ssl_cert_reqs=maybe",
        "rediss://:hunter2@h?sentinel_password=hunter2",
        "redis+sentinel://:hunter2@h",
        "redis+sentinel://:hunter2@h/",
        "redis+sentinel://:hunter2@h/main/",
        "redis+sentinel://:hunter2@h/main/zero",
        "redis+sentinel://:hunter2@h:x,h/main",
        "redis://:hunter2@[::1",
    ],
)
def test_what_is_no_url_of_redis_is_refused_without_telling_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_address(url)
    assert "Redis URL" in str(caught.value)
    assert caught.value.__cause__ is None
    assert "hunter2" not in str(caught.value)


def test_an_address_can_be_shown() -> None:
    address = parse_address("redis+sentinel://me:hunter2@h/main?sentinel_password=hunter2")
    assert "hunter2" not in repr(address)
    assert "hunter2" not in address.name
