"""Declaring processors: what works, and what is refused in words that help."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from typing import Any

import pytest
from pydantic import Field, SecretStr, field_serializer, field_validator

from jobkit import Context, Payload, Result, processor
from jobkit.errors import ConfigurationError, EffectInvalid, PayloadInvalid
from jobkit.plugin.processor import Processor, checked_key


class Video(Payload):
    """A video to work on."""

    video_id: str
    at: timedelta = timedelta(seconds=1)


class Strict(Payload):
    """A payload whose validators raise what they like."""

    name: str

    @field_validator("name")
    @classmethod
    def _look_up(cls, value: str) -> str:
        return {"known": value}[value]


class Poster(Result):
    """What came of it."""

    width: int


class Opaque:
    """Nothing that could be written as JSON."""


@processor("poster", key=lambda job: job.video_id, ordered=True, timeout=timedelta(minutes=5))
async def poster(job: Video, ctx: Context) -> Poster:
    """Make a poster."""
    return Poster(width=len(job.video_id))


def test_a_declaration_is_read_from_the_signature() -> None:
    assert (poster.name, poster.payload, poster.ordered) == ("poster", Video, True)
    assert poster.timeout == timedelta(minutes=5)
    assert poster.retry.max_attempts == 5


async def test_a_processor_can_be_called_as_the_function_it_is() -> None:
    assert await poster(Video(video_id="abc"), None) == Poster(width=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "Upper", "1st", "with space", "a/b", "a:b", "a" * 64, "\u00fcber", "-a"])
def test_a_type_name_that_some_backend_cannot_take_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="use lower-case letters"):
        processor(name, key=lambda _: "k")


def test_the_name_that_leaderships_are_leased_under_is_no_type() -> None:
    with pytest.raises(ConfigurationError, match="'leader' is taken"):
        processor("leader", key=lambda _: "k")


def test_a_timeout_must_be_positive() -> None:
    with pytest.raises(ConfigurationError, match="timeout must be positive"):
        processor("t", key=lambda _: "k", timeout=timedelta(0))


def _not_async(job: Video, ctx: Context) -> None: ...


async def _no_context(job: Video) -> None: ...


async def _no_payload(job, ctx: Context) -> None: ...  # type: ignore[no-untyped-def]


async def _plain_payload(job: dict[str, Any], ctx: Context) -> None: ...


async def _three(job: Video, ctx: Context, more: int) -> None: ...


async def _unresolved(job: Vidoe, ctx: Context) -> None: ...  # type: ignore[name-defined]  # noqa: F821


async def _opaque(job: Video, ctx: Context) -> Opaque: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (_not_async, "plain 'def', which runs in a thread: annotate 'ctx: SyncContext', or make it an 'async def'"),
        (_no_context, "must take"),
        (_no_payload, "must take"),
        (_plain_payload, "subclass of jobkit.Payload"),
        (_three, "parameter .more. must be a resource"),
        (_unresolved, "Vidoe"),
        (_opaque, "cannot be written as JSON"),
    ],
)
def test_a_function_that_cannot_be_a_processor_is_refused(function: Callable[..., Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as refused:
        processor("t", key=lambda _: "k")(function)
    assert "'t'" in str(refused.value)


# ---- payloads ------------------------------------------------------------------------------------------------------


def test_a_payload_is_parsed_from_json_and_from_values() -> None:
    assert poster.parse(b'{"video_id":"v","at":"PT2S"}') == Video(video_id="v", at=timedelta(seconds=2))
    assert poster.from_mapping({"video_id": "v"}) == Video(video_id="v")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{}", "video_id: Field required"),
        (b'{"video_id":1,"at":"soon"}', "video_id: .*; at: "),
        (b'{"video_id":"v","vidoe":1}', "vidoe: Extra inputs"),
        (b"[]", "payload: "),
        (b"{", "payload: Invalid JSON"),
        (b"\xff", "payload: Invalid JSON"),
    ],
)
def test_each_wrong_field_of_a_payload_is_named(body: bytes, named: str) -> None:
    with pytest.raises(PayloadInvalid, match=f"payload of type 'poster' is not valid: {named}"):
        poster.parse(body)


def test_whatever_a_validator_raises_means_that_the_payload_is_invalid() -> None:
    @processor("strict", key=lambda job: job.name)
    async def strict(job: Strict, ctx: Context) -> None: ...

    with pytest.raises(PayloadInvalid, match="KeyError"):
        strict.parse(b'{"name":"x"}')
    with pytest.raises(PayloadInvalid, match="KeyError"):
        strict.from_mapping({"name": "x"})


def test_payloads_and_their_values_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Video(video_id="v").video_id = "w"  # type: ignore[misc]


# ---- keys ----------------------------------------------------------------------------------------------------------


def _keyed(key: Callable[[Any], Any]) -> Processor[Video, None]:
    @processor("keyed", key=key)
    async def keyed(job: Video, ctx: Context) -> None: ...

    return keyed


@pytest.mark.parametrize("key", [None, 5, b"k", "", "a\0b", "\n", "x" * 513, "\u00fc" * 257, "\ud800"])
def test_a_key_that_cannot_name_one_is_refused(key: object) -> None:
    with pytest.raises(PayloadInvalid, match="a key must be"):
        _keyed(lambda _: key).key_of(Video(video_id="v"))


@pytest.mark.parametrize("key", ["v", "a/b", " ", "x" * 512, "\u00fc" * 256])
def test_any_other_text_is_a_key(key: str) -> None:
    assert checked_key(key) == key


def test_a_key_function_that_fails_means_that_the_payload_is_invalid() -> None:
    with pytest.raises(PayloadInvalid, match=r"no key could be made .*AttributeError"):
        _keyed(lambda job: job.vidoe_id).key_of(Video(video_id="v"))


# ---- results -------------------------------------------------------------------------------------------------------


def test_a_result_is_written_as_json() -> None:
    assert poster.dump_result(Poster(width=3)) == b'{"width":3}'
    assert _keyed(lambda _: "k").dump_result(None) == b"null"


def test_a_result_that_cannot_be_written_says_of_which_type_it_is() -> None:
    @processor("loose", key=lambda _: "k")
    async def loose(job: Video, ctx: Context) -> Any: ...

    with pytest.raises(EffectInvalid, match="result of type 'loose' is not kept as it is: result cannot be written"):
        loose.dump_result(Opaque())


# ---- declarations --------------------------------------------------------------------------------------------------


async def _fine(job: Video, ctx: Context) -> None: ...


async def _awaited(job: Any) -> str:
    return "k"


async def _no_result(job: Video, ctx: Context):  # type: ignore[no-untyped-def]
    ...


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"key": "k"}, "key must be a plain function of the payload, such as key=lambda job: job.id, not 'k'"),
        ({"key": _awaited}, "key must be a plain function"),
        ({"retry": 3}, r"retry must be a RetryPolicy, such as RetryPolicy\(max_attempts=3\), not 3"),
        ({"timeout": 60}, r"timeout must be a timedelta, such as timedelta\(minutes=5\), not 60"),
        ({"timeout": 0}, "timeout must be a timedelta"),
        ({"timeout": timedelta(0)}, "timeout must be positive"),
        ({"ordered": "yes"}, "ordered must be True or False, not 'yes'"),
        ({"settings": Video}, "settings must be a subclass of pydantic_settings.BaseSettings"),
        ({"check": list}, "check must be an 'async def' function"),
        ({"describe": list}, "describe must be an 'async def' function"),
        ({"projections": [1]}, "projections must be a list of Projection"),
        ({"projections": "sum"}, "projections must be a list of Projection"),
        ({"retry": 3, "timeout": 60}, r"timeout must be [\s\S]*job type 't': retry must be"),
    ],
)
def test_an_argument_of_the_wrong_kind_is_refused_in_words(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=f"job type 't': {problem}"):
        processor("t", **{"key": lambda _: "k", **arguments})(_fine)


def test_what_a_processor_returns_must_be_said() -> None:
    with pytest.raises(ConfigurationError, match="'t' must say what it returns: '-> SomeResult', or '-> None'"):
        processor("t", key=lambda _: "k")(_no_result)


@pytest.mark.parametrize("type", [5, None, b"t"])
def test_a_type_that_is_no_text_is_refused(type: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"job type .*: use lower-case letters"):
        processor(type, key=lambda _: "k")


class Named(str, Enum):  # noqa: UP042  (the kind whose text differs from its value)
    """A text with a mind of its own."""

    KEY = "k"

    def __str__(self) -> str:
        return "Named.KEY"


def test_a_key_of_a_subclass_of_str_is_the_text_that_it_is() -> None:
    key = _keyed(lambda _: Named.KEY).key_of(Video(video_id="v"))
    assert (key, type(key), f"{key}") == ("k", str, "k")


class Secretive(Payload):
    """What would be written as asterisks."""

    password: SecretStr


class Hiding(Payload):
    """What would not be written at all."""

    hidden: int = Field(default=1, exclude=True)


class TwoNames(Payload):
    """What would be written under a name that nobody reads."""

    amount: int = Field(default=1, serialization_alias="Amount")


class Endless(Payload):
    """What cannot be written."""

    ratio: float = float("inf")


class Nested(Payload):
    """Where it is not seen at first sight."""

    within: dict[str, list[Secretive | None]]


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (Secretive, "Secretive.password is a secret, which is written as asterisks"),
        (Nested, "Secretive.password is a secret"),
        (Hiding, "Hiding.hidden is declared with exclude=True"),
        (TwoNames, "TwoNames.amount is written as 'Amount' and read as 'amount'"),
        (Endless, "Endless.ratio is inf by default"),
    ],
)
def test_a_model_that_would_not_read_back_is_refused_where_it_is_declared(model: Any, problem: str) -> None:
    async def takes(job: Any, ctx: Context) -> None: ...

    async def returns(job: Video, ctx: Context) -> Any: ...

    takes.__annotations__["job"] = model
    returns.__annotations__["return"] = list[model]
    for function in (takes, returns):
        with pytest.raises(ConfigurationError, match=f"job type 't': {problem}"):
            processor("t", key=lambda _: "k")(function)


class Spelled(Payload):
    """A secret that its author has written out."""

    password: SecretStr

    @field_serializer("password")
    def _spelled(self, value: SecretStr) -> str:
        return value.get_secret_value()


def test_a_field_that_its_author_writes_is_the_authors_to_answer_for() -> None:
    @processor("t", key=lambda _: "k")
    async def spelled(job: Spelled, ctx: Context) -> None: ...

    body = spelled.dump(Spelled(password=SecretStr("hunter2")))
    assert spelled.parse(body).password.get_secret_value() == "hunter2"
