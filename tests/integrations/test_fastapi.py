"""FastAPI's own application, driven by its test client: jobs are submitted, and errors are answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from jobkit.errors import Unavailable
from jobkit.files import everyone
from jobkit.integrations.fastapi import JobkitClient, add_error_handlers, files_application, lifespan
from jobkit.model.plane import Plane
from jobkit.settings import Settings
from tests.steps import Step, loose


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.chdir(tmp_path)
    application = FastAPI(lifespan=lifespan(Settings(plugins=("tests.steps",))))
    add_error_handlers(application)

    @application.post("/steps", status_code=202)
    async def submit(job: Step, jobs: JobkitClient, id: str | None = None) -> dict[str, Any]:
        handle = await loose.submit(jobs, job, id=id)
        return {"id": handle.id}

    @application.post("/raw/{type}", status_code=202)
    async def submit_raw(type: str, job: dict[str, Any], jobs: JobkitClient) -> dict[str, Any]:
        return {"id": (await jobs.submit(type, job)).id}

    @application.get("/steps/{id}")
    async def show(id: str, jobs: JobkitClient) -> dict[str, Any]:
        return {"state": (await jobs.status(id)).state}

    application.mount("/files", files_application(access=everyone))

    @application.get("/away")
    async def away() -> None:
        raise Unavailable(Plane.STORE, "the password is secret")

    with TestClient(application) as client:
        yield client


def test_a_request_submits_a_job_and_another_one_asks_for_it(web: TestClient) -> None:
    submitted = web.post("/steps", json={"on": "a"})
    assert submitted.status_code == 202
    assert web.get(f"/steps/{submitted.json()['id']}").json() == {"state": "queued"}


def test_errors_are_answered(web: TestClient) -> None:
    assert web.post("/steps", json={"on": "a"}, params={"id": "one"}).status_code == 202
    conflict = web.post("/steps", json={"on": "b"}, params={"id": "one"})
    assert (conflict.status_code, conflict.json()["detail"][:14]) == (409, "job id 'one' i")
    assert web.get("/steps/nobody").status_code == 404
    invalid = web.post("/raw/loose", json={"nmber": 1})
    assert (invalid.status_code, "nmber" in invalid.json()["detail"]) == (422, True)
    away = web.get("/away")
    assert (away.status_code, "secret" in away.text) == (503, False)


def test_files_are_given_out_by_the_client_of_the_application(web: TestClient) -> None:
    """What they are is tested in tests/files; here, that the store is asked whose application it is."""
    missing = web.get("/files/loose/k/poster.jpg")
    assert (missing.status_code, missing.text) == (404, "there is no such file\n")
    assert web.get("/files/loose").status_code == 404
