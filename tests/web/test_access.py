"""Who is let in, what they may do, and that no other site can do anything in their name."""

from __future__ import annotations

from base64 import b64encode

import anyio
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from jobkit.worker.asgi_server import serving
from tests.web.site import Reader, Site, fields_of

OPERATOR, VIEWER = "operator-token-1", "viewer-token-123"


async def test_on_this_machine_nobody_signs_in_and_from_others_nobody_is_let_in(site: Site, reader: Reader) -> None:
    assert (await reader.get("/")).status == 200
    reader.peer = "10.0.0.9"
    page = await reader.get("/")
    assert page.status == 403
    assert "queued" not in page.words


@pytest.mark.parametrize("header", ["forwarded", "x-forwarded-for", "x-real-ip", "via"])
async def test_whom_a_proxy_on_this_machine_speaks_for_is_not_let_in(reader: Reader, header: str) -> None:
    reader.headers[header] = "10.0.0.9"
    assert (await reader.get("/")).status == 403


async def test_a_proxy_is_taken_for_itself_whomever_it_speaks_for() -> None:
    """What a proxy says of its client is no reason to disbelieve the proxy, nor to believe anybody else."""
    seen: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["client"][0])
        await PlainTextResponse("here")(scope, receive, send)

    async with (
        serving(application, "127.0.0.1", 0, named="port") as port,
        await anyio.connect_tcp("127.0.0.1", port) as line,
    ):
        await line.send(b"GET / HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 10.0.0.9\r\nconnection: close\r\n\r\n")
        assert b"200" in await line.receive()
    assert seen == ["127.0.0.1"]


async def test_the_cookie_is_for_encrypted_lines_where_the_line_is(site: Site) -> None:
    for headers, secure in (({}, False), ({"x-forwarded-proto": "https"}, True)):
        reader = site.reader(web_token=OPERATOR)
        reader.headers.update(headers)
        signed = await reader.post("/sign-in", {"token": OPERATOR})
        assert ("secure" in signed.headers["set-cookie"].lower()) is secure


async def test_a_name_of_another_site_that_points_here_is_not_let_in(reader: Reader) -> None:
    reader.host = "evil.example:8090"
    assert (await reader.get("/")).status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
    ],
)
async def test_a_form_of_another_site_changes_nothing(site: Site, reader: Reader, headers: dict[str, str]) -> None:
    id = await site.submitted()
    form = fields_of(await reader.get(f"/do/cancel?id={id}"))
    said = {name.replace("_", "-"): value for name, value in headers.items()}
    refused = await reader.post("/do/cancel", form, **said)
    assert refused.status == 403
    job = await site.planes.inspection.job(id)
    assert job is not None
    assert not job.state.ended
    assert list(await site.planes.inspection.actions()) == []


async def test_an_origin_that_is_not_ours_changes_nothing(site: Site, reader: Reader) -> None:
    """As an old browser sends it, which says no more than the origin."""
    id = await site.submitted()
    form = fields_of(await reader.get(f"/do/cancel?id={id}"))
    reply = await reader._ask("POST", "/do/cancel", b"id=" + id.encode(), {"origin": "http://evil.example"})
    assert reply.status == 403
    assert (await reader.post("/do/cancel", form)).status == 303


async def test_a_form_without_our_token_changes_nothing(site: Site, reader: Reader) -> None:
    id = await site.submitted()
    form = fields_of(await reader.get(f"/do/cancel?id={id}"))
    for token in ("", "0" * 64, form["form_token"][:-1]):
        assert (await reader.post("/do/cancel", {**form, "form_token": token})).status == 403
    job = await site.planes.inspection.job(id)
    assert job is not None
    assert not job.state.ended


async def test_a_token_signs_in_and_says_what_its_bearer_may_do(site: Site) -> None:
    id = await site.submitted()
    reader = site.reader(web_token=OPERATOR, web_viewer_token=VIEWER)
    asked = await reader.get(f"/jobs/{id}")
    assert (asked.status, asked.headers["location"]) == (303, f"/sign-in?back=/jobs/{id}")
    wrong = await reader.post("/sign-in", {"name": "ann", "token": "wrong-token-1234"})
    assert wrong.status == 401
    assert not reader.cookies
    signed = await reader.post("/sign-in", {"name": "ann", "token": OPERATOR, "back": f"/jobs/{id}"})
    assert signed.headers["location"] == f"/jobs/{id}"
    cookie = signed.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert (await reader.confirmed("cancel", id=id)).status == 303
    (action,) = await site.planes.inspection.actions()
    assert action.by == "ann"
    form = {"form_token": fields_of(await reader.get("/do/pause?type=note"))["form_token"]}
    await reader.post("/sign-out", form)
    assert (await reader.get("/")).status == 303


async def test_a_viewer_may_look_and_change_nothing(site: Site) -> None:
    id = await site.submitted()
    reader = site.reader(web_token=OPERATOR, web_viewer_token=VIEWER)
    reader.headers["authorization"] = f"Bearer {VIEWER}"
    page = await reader.get(f"/jobs/{id}")
    assert page.status == 200
    assert "Cancel it" not in page.words
    assert (await reader.get(f"/do/cancel?id={id}")).status == 403
    assert (await reader.post("/do/cancel", {"id": id})).status == 403
    reader.headers["authorization"] = f"Basic {b64encode(f'ann:{OPERATOR}'.encode()).decode()}"
    assert "Cancel it" in (await reader.get(f"/jobs/{id}")).words
    for nonsense in ("Basic !!", "Basic /w==", "Digest x", "Bearer "):
        reader.headers["authorization"] = nonsense
        assert (await reader.get("/")).status == 403, nonsense


async def test_a_cookie_that_was_tampered_with_lets_nobody_in(site: Site) -> None:
    reader = site.reader(web_viewer_token=VIEWER)
    await reader.post("/sign-in", {"name": "ann", "token": VIEWER})
    until, role, name, signature = reader.cookies["jobkit_session"].split(".")
    for cookie in (f"{until}.2.{name}.{signature}", f"9{until}.{role}.{name}.{signature}", "", "a.b", "é"):
        reader.cookies["jobkit_session"] = cookie
        assert (await reader.get("/")).status == 303, cookie


async def test_a_proxy_names_users_and_nobody_else_does(site: Site) -> None:
    reader = site.reader(web_user_header="X-Forwarded-User", web_operators="ann,bob")
    assert (await reader.get("/")).status == 403
    reader.headers["x-forwarded-user"] = "ann"
    assert "Pause something" in (await reader.get("/steering")).words
    reader.headers["x-forwarded-user"] = "eve"
    assert "Pause something" not in (await reader.get("/steering")).words
    reader.peer = "10.0.0.9"
    assert (await reader.get("/steering")).status == 403


async def test_where_nobody_may_change_anything_operators_may_not_either(site: Site) -> None:
    id = await site.submitted()
    reader = site.reader(web_read_only=True)
    assert "Cancel it" not in (await reader.get(f"/jobs/{id}")).words
    assert (await reader.get(f"/do/cancel?id={id}")).status == 403
    assert (await reader.post("/do/cancel", {"id": id})).status == 403


@pytest.mark.parametrize("back", ["//evil.example", "/\\evil.example", "http://evil.example", "/x\nset-cookie: a=b"])
async def test_signing_in_leads_to_no_other_site(site: Site, back: str) -> None:
    reader = site.reader(web_token=OPERATOR)
    signed = await reader.post("/sign-in", {"token": OPERATOR, "back": back})
    assert signed.headers["location"] == "/"


async def test_a_form_larger_than_any_is_refused(reader: Reader) -> None:
    assert (await reader.post("/do/cancel", {"id": "x" * 9_100_000})).status == 400
