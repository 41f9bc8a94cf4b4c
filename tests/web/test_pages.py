"""Every page: it is there, it says what is so, and nothing that a job says is ever run."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from jobkit.client import Client
from jobkit.model.clock import SystemClock
from jobkit.model.tags import tagged
from jobkit.ports.checkpoints import Checkpoint, SaveAnswer
from jobkit.ports.inspection import JobState
from jobkit.web.application import WebApplication
from tests.web.site import Note, Reader, Site

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7919*7907 }}\u202e"


async def pages_of(site: Site) -> list[str]:
    """Make something of every kind, with hostile text in each field, and return the paths of all pages."""
    key = "k" + HOSTILE
    done = await site.submitted(key, HOSTILE)
    await site.committed(done, b'"<script>alert(3)</script>"')
    dead = await site.submitted(key, HOSTILE)
    number = await site.buried(dead, HOSTILE, HOSTILE)
    waiting = await site.submitted(key, HOSTILE)
    running = await site.submitted("other", HOSTILE)
    fence = await site.opened(running, owner=HOSTILE)
    envelope = await site.planes.inspection.envelope(running)
    assert envelope is not None
    await site.planes.store.progress(envelope, fence, fraction=0.5, message=HOSTILE)
    await site.client.pause("note", key=key, reason=HOSTILE)
    await site.planes.inspection.note_action(by=HOSTILE, what=HOSTILE, subject=HOSTILE, detail=HOSTILE)
    await site.planes.store.bury_message(HOSTILE.encode(), None, reason=HOSTILE)
    quoted = key.encode().hex(" ").replace(" ", "%")
    return [
        *("/", "/jobs", "/jobs?state=dead&type=note", "/workers", "/dead", "/steering", "/checks", "/audit"),
        *("/checks/verify", "/checks/verify?run=1", f"/keys/note/%{quoted}", f"/dead/{number}"),
        *(f"/jobs/{id}" for id in (done, dead, waiting, running)),
        *(f"/groups/{done}", "/checks/drill", "/jobs?error=script&column=doing"),
        *("/sign-in", "/nosuch", f"/jobs/{'%3Cscript%3E'}", f"/jobs?key=%{quoted}"),
    ]


async def test_hostile_text_is_shown_on_every_page_and_never_run(site: Site, reader: Reader) -> None:
    for path in await pages_of(site):
        page = await reader.get(path)
        assert page.status in (200, 303, 404), (path, page.words)
        for run in ("<script>alert", "<img src=x", "onerror=alert(2)>{{", 'value=""\'>'):
            assert run not in page.text, path
        assert "62615533" not in page.text, "no text is a template"
        policy = page.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert " style=" not in page.text
        assert " onclick=" not in page.text
        assert "http://" not in page.text.replace("http://www.w3.org", ""), "nothing is asked of another site"


async def test_hostile_text_is_there_to_read(site: Site, reader: Reader) -> None:
    paths = await pages_of(site)
    dead = next(path for path in paths if path.startswith("/dead/"))
    page = await reader.get(dead)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert "alert(1)" in page.words


async def test_the_overview_says_what_needs_attention(site: Site, reader: Reader) -> None:
    assert "all is well" in (await reader.get("/")).words
    await site.submitted()
    await site.buried(await site.submitted("other"))
    page = await reader.get("/?again=1")
    await site.client.pause("note", reason="a bad release")
    # What was seen a moment ago is shown again: a change by somebody else shows a moment later.
    assert page.text == (await reader.get("/?again=1")).text or "all is well" in page.words
    other = site.reader()
    words = (await other.get("/")).words
    assert "A job was given up." in words
    assert "a bad release" in words
    assert "No worker serves note" not in words or "of it wait" in words


async def test_jobs_are_listed_in_pages_by_what_the_url_says(site: Site, reader: Reader) -> None:
    ids = [await site.submitted(f"k{number}", id=f"job-{number}") for number in range(5)]
    await site.committed(ids[0])
    assert [id for id in ids if f"jobs/{id}" in (await reader.get("/jobs?state=committed")).text] == ids[:1]
    assert [id for id in ids if f"jobs/{id}" in (await reader.get("/jobs?key=k3")).text] == ids[3:4]
    first = await reader.get("/jobs?limit=2")
    assert [id for id in ids if f"jobs/{id}" in first.text] == ids[3:]
    (path,) = re.findall(r'href="([^"]*below=[^"]*)"', first.text)
    older = await reader.get(unescape(path))
    assert [id for id in ids if f"jobs/{id}" in older.text] == ids[1:3]
    assert "No job matches" in (await reader.get("/jobs?type=nosuch")).words
    assert (await reader.get("/jobs?state=nonsense&limit=x")).status == 200
    assert (await reader.get("/jobs?since=yesterday")).status == 400
    assert ids[0] in (await reader.get("/jobs?worker=host%3A1")).text
    assert ids[1] not in (await reader.get("/jobs?worker=host%3A1")).text
    assert "No job matches" in (await reader.get("/jobs?until=2001-01-01T00:00")).words


async def test_the_columns_of_the_list_are_chosen_in_the_url(site: Site, reader: Reader) -> None:
    await site.submitted(id="job-1")
    page = await reader.get("/jobs?column=priority&column=took")
    headings = re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', page.text)
    assert headings == ["Job", "Priority", "Took"]
    assert "Submitted" in (await reader.get("/jobs?column=nosuch")).words


async def test_a_job_shows_its_life_its_payload_and_its_result(site: Site, reader: Reader) -> None:
    id = await site.submitted("film/1", "hello")
    assert '"text": "hello"' in (await reader.get(f"/jobs/{id}")).words
    await site.committed(id, b'{"seconds": 12}')
    words = (await site.reader().get(f"/jobs/{id}")).words
    assert "token 7" in words
    assert "host:1:abc" in words
    assert '"seconds": 12' in words
    assert words.index("Submitted") < words.index("Claimed and begun") < words.index("Done")
    assert "film/1" in (await reader.get("/keys/note/film%2F1")).words


async def test_a_job_shows_its_group_and_what_it_keeps_of_its_work(site: Site, reader: Reader) -> None:
    members = [site.client.job("note", Note(about=f"page {number}"), id=f"page-{number}") for number in range(3)]
    group = await site.client.submit_group(members, then=site.client.job("note", Note(about="book"), id="book"))
    await site.committed("page-0")
    fence = await site.opened("page-1")
    envelope = await site.planes.inspection.envelope("page-1")
    assert envelope is not None
    step = Checkpoint("cut", 1, b"null")
    assert await site.planes.store.save_checkpoint(envelope, fence, step) is SaveAnswer.SAVED
    words = (await reader.get(f"/jobs/{group.id}")).words
    assert "2 of 3 have not" in words
    assert "3 members: 2 have yet to end, 1 are done" in words
    page = await reader.get("/jobs/page-1")
    assert 'href="/groups/book"' in page.text
    tree = await reader.get("/groups/book")
    assert (
        tree.words.index("scheduled book") < tree.words.index("committed page-0") < tree.words.index("running page-1")
    )
    assert "3 members: 1 done, 2 to end" in tree.words
    assert (await reader.get("/groups/nosuch")).status == 404
    assert "Step cut done" in page.words


async def test_what_is_not_there_is_said_so(reader: Reader) -> None:
    for path in ("/jobs/nosuch", "/keys/note/nosuch", "/dead/1", "/dead/x", "/nosuch", "/do/nosuch", "/static/nosuch"):
        assert (await reader.get(path)).status == 404, path


async def test_it_works_under_any_path_of_another_application(site: Site) -> None:
    mounted = WebApplication(site.planes, site.registry, site.settings)
    reader = Reader(Starlette(routes=[Mount("/ops/jobs", app=mounted)]), mounted="/ops/jobs")
    id = await site.submitted()
    page = await reader.get(f"/ops/jobs/jobs/{id}")
    assert page.status == 200
    assert 'href="/ops/jobs/static/jobkit.css' in page.text
    assert 'href="/jobs' not in page.text
    assert (await reader.get("/ops/jobs/static/jobkit.js")).status == 200


async def test_dead_letters_are_grouped_by_what_went_wrong(site: Site, reader: Reader) -> None:
    for number in range(3):
        await site.buried(await site.submitted(f"k{number}"), f"frame {number} is broken")
    await site.buried(await site.submitted("other"), "no room")
    words = (await reader.get("/dead")).words
    assert "frame … is broken note 3" in words
    assert "no room note 1" in words
    group = await reader.get("/dead?type=note&error=frame+%E2%80%A6+is+broken")
    assert "3 dead letters of type note" in group.words


async def test_a_backend_that_is_away_is_said_so_and_hides_nothing_else(
    site: Site, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobkit.errors import Unavailable
    from jobkit.model.plane import Plane

    async def away(*_: object) -> object:
        raise Unavailable(Plane.BROKER, "connection refused")

    id = await site.submitted()
    monkeypatch.setattr(type(site.planes.broker), "depths", away)
    assert "The broker is out of reach" in (await reader.get("/")).words
    assert "out of reach" in (await reader.get(f"/jobs/{id}")).words
    assert "out of reach" in (await reader.get("/workers")).words

    async def gone(*_: object, **__: object) -> object:
        raise Unavailable(Plane.STORE, "connection refused")

    monkeypatch.setattr(type(site.planes.inspection), "counts", gone)
    page = await site.reader().get("/")
    assert page.status == 503
    assert "Nothing is lost" in page.words


def test_every_state_has_its_words() -> None:
    from jobkit.web.pages.overview import _STATES

    assert set(_STATES) == set(JobState)


async def test_the_last_drill_is_shown_as_it_was_written(site: Site, tmp_path: Path) -> None:
    assert "JOBKIT_DRILL_REPORT" in (await site.reader().get("/checks/drill")).words
    report = tmp_path / "drill.html"
    reader = site.reader(drill_report=report)
    assert "No drill has been run yet" in (await reader.get("/checks/drill")).words
    assert (await reader.get("/checks/drill/report")).status == 404
    report.write_text("<style>p {}</style><p>Nothing was lost</p><script>alert(1)</script>")
    assert 'src="/checks/drill/report"' in (await reader.get("/checks/drill")).text
    shown = await reader.get("/checks/drill/report")
    assert shown.words.endswith("Nothing was lost alert(1)")
    assert shown.headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")


async def test_a_trace_is_a_link_where_it_is_told_where_traces_are(site: Site, reader: Reader) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for id, carried in (("good", trace), ("bad", "00-<script>-1-01")):
        job = site.registry.new_job("note", Note(about=id), id=id, trace=tagged({"traceparent": carried}, ["nightly"]))
        await site.planes.store.submit([job])
    await site.committed("good")
    linked = site.reader(web_trace_url="https://traces.example/{trace_id}?from=jobkit")
    assert "<code>0af7651916cd43dd8448eb211c80319c</code>" in (await reader.get("/jobs/good")).text
    url = "https://traces.example/0af7651916cd43dd8448eb211c80319c?from=jobkit"
    assert f'href="{url}"' in (await linked.get("/jobs/good")).text
    assert "traces.example" not in (await linked.get("/jobs/bad")).text


class _EarlierClock(SystemClock):
    """A clock that goes two hours behind."""

    def wall(self) -> float:
        return super().wall() - 7_210


async def test_the_overview_tells_how_long_the_oldest_job_has_waited(site: Site, reader: Reader) -> None:
    await Client(site.planes, site.registry, site.settings, _EarlierClock()).submit("note", Note(about="old"))
    await site.submitted("new")
    assert "note 2 2h ago" in (await reader.get("/")).words


async def test_a_take_over_names_both_workers_and_their_tokens(site: Site, reader: Reader) -> None:
    id = await site.submitted()
    await site.opened(id, 7, "ann:1:a")
    await site.opened(id, 9, "bob:2:b")
    words = (await reader.get(f"/jobs/{id}")).words
    begun = words.index("by ann:1:a, token 7, after")
    over = words.index("by bob:2:b, token 9, from ann:1:a, token 7, which had not ended it")
    assert words.index("Claimed and begun") < begun < words.index("Taken over") < over < words.index("Running now")


async def test_jobs_are_found_by_their_tags(site: Site, reader: Reader) -> None:
    for id, tags in (("one", ["nightly"]), ("two", ["hourly"])):
        await site.client.submit("note", Note(about=id), id=id, tags=tags)
    listed = await reader.get("/jobs?tag=nightly&column=tags")
    assert "/jobs/one" in listed.text
    assert "/jobs/two" not in listed.text
    assert 'href="/jobs?tag=nightly"' in (await reader.get("/jobs/one")).text
    assert "1 job with the tag nightly" in (await reader.get("/do/cancel-all?tag=nightly")).words
