"""The dashboard as an ASGI application, served by itself or mounted under any path of another one.

Every page is HTML that needs no script. A browser that asks for a page as `text/event-stream` is sent what changes of
it, for as long as it listens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl, quote

import structlog
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import Receive, Scope, Send

from jobkit.client.layouts import Layouts
from jobkit.errors import JobkitError, Unavailable
from jobkit.files import FileReader, FilesApplication
from jobkit.model.clock import Clock, SystemClock
from jobkit.plugin.registry import Registry
from jobkit.ports.planes import Planes
from jobkit.settings import Settings
from jobkit.web import live
from jobkit.web.access import COOKIE, SESSION_SECONDS, Access, User, may_see
from jobkit.web.actions import ACTIONS
from jobkit.web.actions.action import Done, Refused
from jobkit.web.csrf import form_token, is_own_form, is_same_origin
from jobkit.web.history import EVERY_SECONDS, History
from jobkit.web.page import Backstage, MakePage, NotFound, Page, View
from jobkit.web.page_cache import PageCache
from jobkit.web.pages import PLACES, drill, overview
from jobkit.web.rendering import environment
from jobkit.web.security_headers import REPORT_POLICY, protected

_SAID = "jobkit_said"
# An edited payload may be as large as any; all else is small.
_MOST_FORM_BYTES = 9_000_000
_STATIC = {
    "jobkit.css": "text/css",
    "jobkit.js": "text/javascript",
    "hls.min.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}

_NOT_LET_IN = "You are not let in: this dashboard is for people on its own machine, or for those whom its proxy names."
_FOREIGN = "This change did not come from a page of this dashboard, or the page was too old. Go back and try again."

Answer = Callable[[Request, User], Awaitable[Response]]


class WebApplication:
    """Shows what the planes hold, and lets operators change it.

    `settings` say who may (`JOBKIT_WEB_...`); where they say nothing, everybody on this machine may.
    """

    def __init__(self, planes: Planes, registry: Registry, settings: Settings, *, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        self._access = Access(settings, clock)
        layouts = Layouts(planes.store, settings.partitions, clock)
        self._backstage = Backstage(planes, registry, settings, clock, PageCache(clock), History(clock), layouts)
        self._templates = environment()
        self._static = {name: files("jobkit.web").joinpath("static", name).read_bytes() for name in _STATIC}
        self._version = hashlib.sha256(b"".join(self._static.values())).hexdigest()[:12]
        blobs = FilesApplication(FileReader(planes.inspection, planes.blobs), access=self._may_read_files)
        routes: list[BaseRoute] = [Route(place.path, self._page(place.make)) for place in PLACES]
        routes += [
            Route("/do/{action}", self._guarded(self._act), methods=["GET", "POST"]),
            Route("/checks/drill/report", self._guarded(self._send_report)),
            Route("/find", self._guarded(self._find)),
            Route("/sign-in", self._sign_in, methods=["GET", "POST"]),
            Route("/sign-out", self._guarded(self._sign_out), methods=["POST"]),
            Route("/static/{name}", self._send_static),
            Mount("/files", app=blobs),
        ]
        self._router = Router(routes, default=self._missing)

    async def sample(self) -> None:
        """Keep the last hour in numbers, until cancelled. Without it they are kept while somebody looks."""
        while True:
            try:
                await overview.look(self._backstage)
            except Unavailable as error:
                structlog.get_logger("jobkit.web").warning("no counts for the charts", error=str(error))
            await self._backstage.clock.sleep(EVERY_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError("this application answers HTTP alone; its planes are opened by whose they are")
        await self._router(scope, receive, send)

    # ---- pages -------------------------------------------------------------------------------------------------

    def _page(self, make: MakePage) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request, user: User) -> Response:
            view = self._view(request, user)
            if "text/event-stream" in request.headers.get("accept", ""):
                return self._stream(request, view, make)
            page = await make(view)
            response = HTMLResponse(self._html(request, user, page))
            response.headers["vary"] = "accept"
            response.delete_cookie(_SAID, path=_root(request) or "/")
            return response

        return self._guarded(answer)

    def _view(self, request: Request, user: User) -> View:
        return View(self._backstage, user, request.path_params, request.query_params)

    def _stream(self, request: Request, view: View, make: MakePage) -> Response:
        async def look() -> str:
            try:
                return self._html(request, view.user, await make(view), still=True)
            except (JobkitError, OSError) as error:
                return self._html(request, view.user, _problem(error), still=True)

        fragments = live.fragments(look, self._backstage.clock)
        return StreamingResponse(fragments, media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    def _html(self, request: Request, user: User | None, page: Page, *, still: bool = False) -> str:
        """Return the page; `still`: only what changes of it, without a word that changes with time alone."""
        root = request.scope.get("root_path", "").rstrip("/")
        shows: dict[str, Any] = {
            **page.shows,
            "title": page.title,
            "root": quote(root),
            "static": f"{quote(root)}/static",
            "version": self._version,
            "user": user,
            "operates": self._access.may_change(user),
            "read_only": self._access.read_only,
            "form_token": "" if user is None else form_token(self._access, user),
            "signs_in": self._access.signs_in,
            "places": [place for place in PLACES if place.label],
            "here": request.url.path.removeprefix(root),
            "now": self._backstage.clock.wall(),
            "live": page.live,
            "said": live.flash_of(request.cookies.get(_SAID, "")),
            "layout": "still.html" if still else "layout.html",
        }
        return self._templates.get_template(page.template).render(shows)

    def _guarded(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            user = self._access.user(request)
            if user is None:
                return protected(self._stranger(request))
            try:
                return protected(await answer(request, user))
            except NotFound as error:
                return protected(self._failed(request, user, _problem(error), 404))
            except Unavailable as error:
                return protected(self._failed(request, user, _problem(error), 503))
            except Refused as error:
                return protected(self._failed(request, user, _problem(error), 409))
            except JobkitError as error:
                return protected(self._failed(request, user, _problem(error), 400))

        return guarded

    def _failed(self, request: Request, user: User | None, page: Page, status: int) -> Response:
        return HTMLResponse(self._html(request, user, page), status)

    def _stranger(self, request: Request) -> Response:
        if self._access.signs_in and request.method == "GET" and "authorization" not in request.headers:
            back = request.url.path.removeprefix(_root(request)) or "/"
            return RedirectResponse(f"{_root(request)}/sign-in?back={quote(back)}", 303)
        page = Page("problem.html", "Not allowed", {"problem": _NOT_LET_IN, "change": ""}, live=False)
        return self._failed(request, None, page, 403)

    async def _missing(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)

        async def answer(request: Request, user: User) -> Response:  # noqa: ARG001
            raise NotFound(f"There is no page {request.url.path}.")

        response = await self._guarded(answer)(request)
        await response(scope, receive, send)

    async def _may_read_files(self, request: Request, type: str, key: str, name: str) -> bool:  # noqa: ARG002
        user = self._access.user(request)
        return user is not None and may_see(user, self._backstage.registry, type)

    async def _send_report(self, request: Request, user: User) -> Response:
        report = await drill.report(self._view(request, user))
        return HTMLResponse(report, headers={"content-security-policy": REPORT_POLICY, "x-frame-options": "SAMEORIGIN"})

    async def _find(self, request: Request, user: User) -> Response:  # noqa: ARG002
        id = request.query_params.get("id", "").strip()
        path = f"/jobs/{quote(id, safe='')}" if id else "/jobs"
        return RedirectResponse(f"{_root(request)}{path}", 303)

    # ---- changes -----------------------------------------------------------------------------------------------

    async def _act(self, request: Request, user: User) -> Response:
        action = ACTIONS.get(request.path_params["action"])
        if action is None:
            raise NotFound("There is no such action.")
        if not self._access.may_change(user):
            why = "nobody may change anything here" if self._access.read_only else f"{user.name} may only look"
            page = Page("problem.html", "Not allowed", {"problem": f"Not allowed: {why}.", "change": ""}, live=False)
            return self._failed(request, user, page, 403)
        view = self._view(request, user)
        if request.method == "GET":
            proposal = await action.propose(view)
            asked = list(request.query_params.multi_items())
            shows = {"proposal": proposal, "asked": asked}
            return HTMLResponse(self._html(request, user, Page("confirm.html", proposal.title, shows, live=False)))
        form = await _form(request)
        if not is_own_form(request, self._access, user, form.pop("form_token", "")):
            page = Page("problem.html", "Not allowed", {"problem": _FOREIGN, "change": ""}, live=False)
            return self._failed(request, user, page, 403)
        done = await action.carry_out(View(self._backstage, user, request.path_params, QueryParams(form)))
        await self._noted(user, action.name, done)
        response = RedirectResponse(f"{_root(request)}{done.go_to}", 303)
        response.set_cookie(
            _SAID, live.flash(done.said), max_age=60, path=_root(request) or "/", httponly=True, samesite="strict"
        )
        return response

    async def _noted(self, user: User, what: str, done: Done) -> None:
        self._backstage.looks.forget()
        structlog.get_logger("jobkit.web").info("changed by hand", by=user.name, what=what, subject=done.subject)
        inspection = self._backstage.planes.inspection
        await inspection.note_action(by=user.name, what=what, subject=done.subject, detail=done.detail)

    # ---- signing in --------------------------------------------------------------------------------------------

    async def _sign_in(self, request: Request) -> Response:
        if not self._access.signs_in:
            return protected(RedirectResponse(f"{_root(request)}/", 303))
        wrong = False
        if request.method == "POST":
            form = await _form(request)
            found = self._access.signed_in(form.get("name", ""), form.get("token", ""))
            if found is not None and is_same_origin(request):
                back = form.get("back", "/")
                response = RedirectResponse(f"{_root(request)}{back if _is_ours(back) else '/'}", 303)
                response.set_cookie(
                    COOKIE,
                    found[1],
                    max_age=SESSION_SECONDS,
                    path=_root(request) or "/",
                    httponly=True,
                    samesite="strict",
                    secure=self._access.is_encrypted(request),
                )
                return protected(response)
            wrong = True
        back = request.query_params.get("back", "/")
        page = Page("sign_in.html", "Sign in", {"wrong": wrong, "back": back}, live=False)
        return protected(self._failed(request, None, page, 401 if wrong else 200))

    async def _sign_out(self, request: Request, user: User) -> Response:
        form = await _form(request)
        response = RedirectResponse(f"{_root(request)}/sign-in", 303)
        if is_own_form(request, self._access, user, form.get("form_token", "")):
            response.delete_cookie(COOKIE, path=_root(request) or "/")
        return response

    async def _send_static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._static:
            return protected(Response("there is no such file\n", 404))
        fresh = request.query_params.get("v") == self._version
        response = Response(self._static[name], media_type=_STATIC[name])
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if fresh else "no-cache"
        return protected(response)


def _root(request: Request) -> str:
    return quote(request.scope.get("root_path", "").rstrip("/"))


def _is_ours(path: str) -> bool:
    """Return whether a path stays on this site: `//host` and `/\\host` do not."""
    return path.startswith("/") and not path.startswith(("//", "/\\")) and "\n" not in path


def _problem(error: Exception) -> Page:
    if isinstance(error, Unavailable):
        change = "Nothing is lost. This page looks again by itself; the checks say more, and so does `jobkit doctor`."
        return Page("problem.html", "Out of reach", {"problem": f"Out of reach: {error}", "change": change})
    return Page("problem.html", "That did not work", {"problem": str(error), "change": ""}, live=False)


async def _form(request: Request) -> dict[str, str]:
    """Return a form's fields. Raises `JobkitError` where it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_FORM_BYTES:
            raise JobkitError("This is more than a form may say.")
    return dict(parse_qsl(bytes(body).decode(errors="replace"), keep_blank_values=True))
