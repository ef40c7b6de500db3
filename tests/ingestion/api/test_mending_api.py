"""Mending by the API: trying, replaying, discarding, cancelling, downloading, and who may."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from ingestion.models import QuarantineRun, Source, Table
from ingestion.services import quarantine_runs
from tenants.services.keys import create_key
from tests.ingestion.mending import UNQUOTE, finish, land
from tests.ingestion.running import balance, numbers


@pytest.fixture
def source(table: Table) -> Source:
    land(table, [b'{"n": "8"}'], "other")
    return land(table, [b'{"n": "5"}', b'{"n": "6"}', b'{"n": -1}'], "web")


@pytest.fixture
def key(source: Source) -> str:
    return create_key(source.tenant, "operator", scopes=["manage"])[1]


def call(key: str, address: str, body: Any = None, method: str = "POST") -> Any:
    return Client(raise_request_exception=False).generic(
        method,
        f"/api/v1/sources/web/quarantine/{address}",
        b"" if body is None else json.dumps(body).encode(),
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}"},
    )


def test_a_dry_run_then_a_replay_of_this_source_alone(key: str, source: Source) -> None:
    tried = call(key, "replay", {"repair": UNQUOTE, "dry_run": True}).json()
    assert (tried["run"], tried["dry_run"]["fit"], tried["dry_run"]["unfit"]) == (None, 2, 1)
    assert tried["dry_run"]["groups"][0]["example"]["sent"] == '{"n": -1}'
    made = call(key, "replay", {"column": "n", "repair": UNQUOTE}).json()["run"]
    assert (made["state"], made["total"]) == ("queued", 3)
    finish(QuarantineRun.objects.get())
    (run,) = call(key, "runs", method="GET").json()["runs"]
    assert (run["state"], run["moved"], run["unfit"], run["percent"]) == ("done", 2, 1, 100)
    assert numbers(source.table) == [5, 6]
    balance(source)


def test_a_discard_needs_a_reason(key: str, source: Source) -> None:
    assert call(key, "discard", {"preview": True}).json() == {"selected": 3, "run": None}
    refused = call(key, "discard", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "refused")
    assert call(key, "discard", {"note": "tests", "column": ""}).status_code == 409
    assert call(key, "discard", {"note": "tests"}).json()["selected"] == 3
    finish(QuarantineRun.objects.get())
    assert call(key, "discard", {"preview": True}).json()["selected"] == 0


def test_a_run_can_be_cancelled_again_and_again(key: str, source: Source) -> None:
    call(key, "replay", {"repair": UNQUOTE})
    for _ in range(2):
        (run,) = call(key, "cancel").json()["runs"]
        assert run["state"] == "cancelled"
    assert numbers(source.table) == []


def test_a_repair_that_may_not_be_says_why(key: str) -> None:
    for repair in ("(SELECT 1)", "toString(toUInt8(JSONExtractString(raw, 'n')))"):
        answer = call(key, "replay", {"repair": repair, "dry_run": True})
        assert (answer.status_code, answer.json()["code"]) == (422, "repair_refused")
        assert "__quarantine" not in answer.content.decode()


def test_a_download_has_this_source_alone(key: str, source: Source) -> None:
    answer = call(key, "download", method="GET")
    assert answer["Content-Type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]
    assert [line["raw"] for line in lines] == ['{"n": "5"}', '{"n": "6"}', '{"n": -1}']
    assert b"".join(call(key, "download?column=s", method="GET").streaming_content) == b""


def test_runs_of_other_sources_are_not_listed(key: str, source: Source) -> None:
    other = Source.objects.get(name="other")
    quarantine_runs.replay(quarantine_runs.selected(source.table, source=other), UNQUOTE)
    quarantine_runs.replay(quarantine_runs.selected(source.table), UNQUOTE)
    assert call(key, "runs", method="GET").json() == {"runs": []}
