"""Tenants on the command line: whose a job is, and that it waits for a place."""

from __future__ import annotations

import json

from tests.cli.conftest import Shell


def submit(shell: Shell, id: str, *options: str, type: str = "parcel") -> str:
    payload = json.dumps({"about": "acme", "text": id})
    result = shell("submit", type, "--payload", payload, "--id", id, *options)
    assert result.exit_code == 0, result.output
    return str(result.stderr)


def test_who_waits_for_a_place_is_shown_as_that(shell: Shell) -> None:
    assert "submitted" in submit(shell, "a")
    assert "it waits until its tenant has a place for it" in submit(shell, "b")
    assert "waits until" not in submit(shell, "c", "--tenant", "other")
    listed = {job["id"]: job for job in json.loads(shell("jobs", "--json").stdout)}
    told = {id: (job["tenant"], job["waits_for_place"], job["state"]) for id, job in listed.items()}
    assert told == {
        "a": ("acme", False, "queued"),
        "b": ("acme", True, "scheduled"),
        "c": ("other", False, "queued"),
    }
    assert "scheduled, waits for a place of acme" in shell("jobs").stdout
    shown = shell("status", "b").stdout
    assert "tenant" in shown
    assert "a place of its tenant's" in shown
    (reason,) = [one for one in json.loads(shell("why", "b", "--json").stdout)["reasons"] if one["cause"] == "tenant"]
    assert "all places of 'acme' are taken" in reason["text"]


def test_cancelling_gives_the_place_to_the_next(shell: Shell) -> None:
    for id in ("a", "b", "c"):
        submit(shell, id)
    assert shell("cancel", "a", "--yes").exit_code == 0
    states = {job["id"]: job["state"] for job in json.loads(shell("jobs", "--json").stdout)}
    assert states == {"a": "cancelled", "b": "queued", "c": "scheduled"}


def test_a_type_that_knows_no_tenants_takes_none(shell: Shell) -> None:
    for type, tenant, told in (("note", "acme", "knows no tenants"), ("parcel", "", "a tenant must be 1 to 512 bytes")):
        result = shell("submit", type, "--payload", '{"about": "acme"}', "--tenant", tenant)
        assert result.exit_code == 2
        assert told in result.stderr
        assert "Traceback" not in result.output
