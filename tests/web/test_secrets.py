"""Secrets are masked wherever a dead letter's page shows them: of whatever class, in whatever holds them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import date
from typing import Annotated, Any, NamedTuple, TypedDict

import pytest
from pydantic import AliasChoices, AliasPath, Field, PlainSerializer, RootModel, Secret, SecretStr, model_serializer

from jobkit import Context, Payload, processor
from jobkit.web.masking import MASK
from jobkit.web.secret_fields import holds_secrets
from tests.web.site import Site

SAID = "hunter2-1999"


class Token(SecretStr):
    """A secret of the author's own class."""


class Birthday(Secret[date]):
    """Another one."""


class Tokens(RootModel[list[SecretStr]]):
    """Some."""

    @model_serializer
    def _written(self) -> list[str]:
        return [one.get_secret_value() for one in self.root]


@dataclass(frozen=True)
class Login:
    """A secret in a dataclass."""

    user: str
    token: SecretStr


class Pair(NamedTuple):
    """A secret in a tuple with names."""

    user: str
    token: SecretStr


class Keyed(TypedDict):
    """A secret in a mapping with names."""

    token: SecretStr


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return None if value is None else {"user": value.user, "token": value.token.get_secret_value()}


written = PlainSerializer(_plain, when_used="json")


class Held(Payload):
    """Everything that may hold a secret."""

    name: str
    token: Annotated[Token, written] = Token("")
    login: Annotated[Login | None, written] = None
    tokens: Tokens = Tokens([])
    by_number: Annotated[dict[int, SecretStr], PlainSerializer(str)] = Field(default_factory=dict)
    some: Annotated[frozenset[SecretStr], PlainSerializer(str)] = frozenset()
    pin: Annotated[SecretStr, written] = Field(SecretStr(""), alias="PIN")
    either: Annotated[SecretStr, written] = Field(SecretStr(""), validation_alias=AliasChoices("one", "other"))
    kept: tuple[Held, ...] = ()


class Within(Payload):
    """A secret that is read from within another field."""

    name: str
    token: Annotated[SecretStr, written] = Field(SecretStr(""), validation_alias=AliasPath("auth", "token"))
    user: str = Field("", validation_alias=AliasPath("auth", "user"))


@processor("hold", key=lambda job: job.name)
async def held(job: Held, ctx: Context) -> None:
    """Only names the type."""


@processor("within", key=lambda job: job.name)
async def within(job: Within, ctx: Context) -> None:
    """Only names the type."""


async def dead_page(site: Site, type: str, payload: dict[str, Any]) -> str:
    """Return what the page of a dead letter with this payload says."""
    envelope = site.registry.new_job("note", {"about": "k"}, id="k", submitted_at=1_700_000_000.0).envelope
    raw = json.dumps(payload).encode()
    await site.planes.store.bury_message(raw, replace(envelope, type=type, body=raw), reason="it broke")
    (letter,) = await site.planes.inspection.dead(limit=9)
    page = await site.reader(held, within, node).get(f"/dead/{letter.number}")
    assert page.status == 200, page.words
    assert "Beside today" in page.words
    return page.words


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize(
    "secret",
    [
        {"token": SAID},
        {"login": {"user": "u", "token": SAID}},
        {"tokens": [SAID]},
        {"by_number": {"1": SAID}},
        {"some": [SAID]},
        {"PIN": SAID},
        {"pin": SAID},
        {"other": SAID},
        {"kept": [{"name": "l", "kept": [{"name": "m", "pin": SAID}]}]},
    ],
    ids=lambda secret: next(iter(secret)),
)
async def test_no_secret_is_on_a_page(site: Site, secret: dict[str, Any], taken: bool) -> None:
    said = await dead_page(site, "hold", {"name": "k", **secret, **({} if taken else {"unknown": 1})})
    assert SAID not in said
    assert MASK in said


async def test_what_is_read_from_within_another_field_is_masked(site: Site) -> None:
    assert SAID not in await dead_page(site, "within", {"name": "k", "auth": {"token": SAID, "user": "u"}})


@pytest.mark.parametrize(
    "annotation", [Secret[date], Birthday, list[Token], dict[str, Annotated[Token, 1]], Login, Pair, Keyed, Held]
)
def test_an_annotation_tells_of_secrets(annotation: Any) -> None:
    assert holds_secrets(annotation)
    assert holds_secrets(list[annotation] | None)


class Node(Payload):
    """Holds itself, and no secret."""

    name: str
    children: tuple[Node, ...] = ()


@processor("node", key=lambda job: job.name)
async def node(job: Node, ctx: Context) -> None:
    """Only names the type."""


@pytest.mark.parametrize("taken", [True, False])
async def test_a_model_that_holds_itself_has_a_page(site: Site, taken: bool) -> None:
    children: list[dict[str, Any]] = [{"name": "of mine"}]
    said = await dead_page(site, "node", {"name": "k", "children": children, **({} if taken else {"unknown": 1})})
    assert "of mine" in said
