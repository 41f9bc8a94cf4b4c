"""Every change: confirmed first, done once, refused where it cannot be, and noted with who did it."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from jobkit.model.pause import Scope
from jobkit.ports.inspection import JobState
from tests.web.site import Reader, Site, fields_of


async def state(site: Site, id: str) -> str:
    job = await site.planes.inspection.job(id)
    assert job is not None
    return job.state.value


async def log(site: Site) -> list[tuple[str, str]]:
    return [(action.what, action.subject) for action in await site.planes.inspection.actions()]


async def test_asking_for_a_change_changes_nothing(site: Site, reader: Reader) -> None:
    id = await site.submitted()
    page = await reader.get(f"/do/cancel?id={id}")
    assert "never takes effect" in page.words
    assert await state(site, id) == "queued"
    assert await log(site) == []


async def test_a_job_is_cancelled_with_a_reason_and_by_whom(site: Site, reader: Reader) -> None:
    id = await site.submitted()
    done = await reader.confirmed("cancel", {"reason": "not wanted"}, id=id)
    assert (done.status, done.headers["location"]) == (303, f"/jobs/{id}")
    job = await site.planes.inspection.job(id)
    assert job is not None
    assert (job.state, job.reason) == (JobState.CANCELLED, "not wanted")
    assert await log(site) == [("cancel", f"job {id}")]
    assert f"Job {id} is cancelled." in (await reader.get(f"/jobs/{id}")).words
    assert f"Job {id} is cancelled." not in (await reader.get(f"/jobs/{id}")).words, "it is said once"
    again = await reader.confirmed("cancel", id=id)
    assert again.status == 409
    assert "cancelled already" in again.words
    assert len(await log(site)) == 1


async def test_all_that_match_are_cancelled_and_counted_before(site: Site, reader: Reader) -> None:
    ids = [await site.submitted(f"k{number}") for number in range(3)]
    await site.opened(ids[0])
    page = await reader.get("/do/cancel-all?type=note&state=queued")
    assert "Cancel 2 jobs?" in page.words
    # What came after it was counted is left alone.
    later = await site.submitted("k9")
    await reader.post("/do/cancel-all", fields_of(page))
    assert [await state(site, id) for id in [*ids, later]] == ["running", "cancelled", "cancelled", "queued"]
    assert await log(site) == [("cancel-all", "jobs of type note")]
    refused = await reader.get("/do/cancel-all?type=note&state=committed")
    assert refused.status == 409


async def test_types_and_keys_are_paused_and_resumed(site: Site, reader: Reader) -> None:
    await site.submitted("a/b")
    targets: list[tuple[dict[str, str], Scope]] = [
        ({"type": "note"}, Scope("note")),
        ({"type": "note", "key": "a/b"}, Scope("note", key="a/b")),
        ({"type": "note", "partition": "3"}, Scope("note", partition=3)),
    ]
    for target, scope in targets:
        await reader.confirmed("pause", {"reason": "a bad release"}, **target)
        (pause,) = await site.planes.store.pauses()
        assert (pause.scope, pause.reason) == (scope, "a bad release")
        assert "a bad release" in (await reader.get("/steering")).words
        await reader.confirmed("resume", **target)
        assert list(await site.planes.store.pauses()) == []
    assert (await reader.confirmed("resume", type="note")).status == 409
    assert (await reader.get("/do/pause?type=note&partition=x")).status == 404
    assert (await reader.get("/do/pause?type=note&partition=1&key=k")).status == 409
    assert (await reader.get("/do/pause")).status == 404
    for unknown in ("type=nte", "type=note&key=nobody", "type=note&partition=99"):
        refused = await reader.get(f"/do/pause?{unknown}")
        assert refused.status == 409, refused.words
    assert "did you mean 'note'?" in (await reader.get("/do/pause?type=nte")).words
    assert (await reader.confirmed("pause", type="nte", unseen="yes")).status == 303


async def test_dead_letters_are_tried_again_edited_and_deleted(site: Site, reader: Reader) -> None:
    first, second, third = [await site.submitted(f"k{number}") for number in range(3)]
    numbers = [await site.buried(id) for id in (first, second, third)]
    await reader.confirmed("requeue", number=str(numbers[0]))
    assert await state(site, first) == "queued"
    await reader.confirmed("requeue-job", id=second)
    assert await state(site, second) == "queued"
    edited = await reader.confirmed(
        "requeue-edited", {"payload": '{"about": "k2", "text": "new"}'}, number=str(numbers[2])
    )
    new = unquote(edited.headers["location"].removeprefix("/jobs/"))
    envelope = await site.planes.inspection.envelope(new)
    assert envelope is not None
    assert b'"new"' in envelope.body
    assert new.startswith(f"{third}@")
    assert (await site.planes.inspection.actions())[
        0
    ].detail == f"submitted edited as job {new}, in place of job {third}"
    bad = await reader.confirmed("requeue-edited", {"payload": '{"text": 1}'}, number=str(numbers[2]))
    assert bad.status == 409
    assert "about" in bad.words
    await reader.confirmed("purge", number=str(numbers[2]))
    assert await site.planes.inspection.dead_letter(numbers[2]) is None
    assert (await reader.get(f"/do/purge?number={numbers[2]}")).status == 404
    assert (await reader.get(f"/do/requeue-job?id={first}")).status == 404


async def test_all_dead_letters_of_one_error_are_tried_again(site: Site, reader: Reader) -> None:
    ids = [await site.submitted(f"k{number}") for number in range(4)]
    for number, id in enumerate(ids[:3]):
        await site.buried(id, f"frame {number} is broken")
    await site.buried(ids[3], "no room")
    page = await reader.get("/do/requeue-all?type=note&error=frame+%E2%80%A6+is+broken")
    assert "Try 3 jobs again?" in page.words
    await reader.post("/do/requeue-all", fields_of(page))
    assert [await state(site, id) for id in ids] == ["queued", "queued", "queued", "dead"]


async def test_the_message_of_a_job_is_sent_again(site: Site, reader: Reader) -> None:
    id = await site.submitted()
    await site.planes.store.published([one.position for one in await site.planes.store.outbox(older_than=-1, limit=9)])
    assert (await reader.confirmed("republish", id=id)).status == 303
    assert [one.envelope.id for one in await site.planes.store.outbox(older_than=-1, limit=9)] == [id]
    assert (await reader.confirmed("republish", id=id)).status == 409


async def test_an_unknown_target_is_no_change(site: Site, reader: Reader) -> None:
    asked: list[tuple[str, dict[str, Any]]] = [("cancel", {"id": "nosuch"}), ("skip-gap", {"type": "note", "key": "k"})]
    for action, target in asked:
        page = await reader.get(f"/do/{action}?{'&'.join(f'{name}={value}' for name, value in target.items())}")
        assert page.status in (404, 409), action
    assert await log(site) == []


async def test_all_that_match_are_changed_and_only_those(site: Site, reader: Reader) -> None:
    for number in range(3):
        await site.buried(await site.submitted(f"k{number}", id=f"dead-{number}"), f"frame {number} is broken")
    await site.buried(await site.submitted("other", id="full"), "no room")
    await site.submitted("waits", id="waits")
    page = await reader.get("/jobs?state=dead&error=BROKEN")
    assert "Try all that match again" in page.words
    asked = await reader.get("/do/requeue-matching?state=dead&error=BROKEN")
    assert "3 jobs with 'BROKEN' in an error, which were given up, would be tried again" in asked.words
    done = await reader.confirmed("requeue-matching", state="dead", error="BROKEN")
    assert (done.status, done.headers["location"]) == (303, "/jobs?state=dead&error=BROKEN")
    states = await site.planes.inspection.states([*(f"dead-{number}" for number in range(3)), "full"])
    assert states == {**{f"dead-{number}": JobState.QUEUED for number in range(3)}, "full": JobState.DEAD}
    assert "1 job of key k1 (scheduled" in (await reader.get("/do/cancel-all?key=k1")).words
    await reader.confirmed("cancel-all", {"reason": "no"}, key="k2")
    states = await site.planes.inspection.states(["dead-1", "dead-2", "waits"])
    assert states == {"dead-1": JobState.QUEUED, "dead-2": JobState.CANCELLED, "waits": JobState.QUEUED}
    # Nobody changes all there are by leaving everything out.
    assert (await reader.get("/do/cancel-all")).status == 409
    assert (await reader.get("/do/priority-all?type=note&priority=high")).status == 200
