"""Backfills by the API: uploads, locations, progress, cancelling, resuming, and who may."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from ingestion.models import BackfillRun, Table
from ingestion.services import backfill_runs
from tenants.models import Tenant
from tenants.rights import Rights
from tenants.services.keys import create_key
from tests.ingestion.running import numbers

CSV = b"n;s\n1;a\n2;NA\nx;c\n"


@pytest.fixture
def folder(table: Table, tmp_path: Path, settings: Any) -> Path:
    settings.MILLRACE_UPLOAD_DIR = str(tmp_path)
    return tmp_path


@pytest.fixture
def key(table: Table, folder: Path) -> str:
    return create_key(table.tenant, "operator", scopes=["manage"])[1]


def call(key: str, address: str, body: Any = b"", method: str = "POST", **query: Any) -> Any:
    is_file = isinstance(body, bytes) and body
    return Client(raise_request_exception=False).generic(
        method,
        f"/api/v1/tables/events/backfills{address}" + (f"?{urlencode(query)}" if query else ""),
        body if isinstance(body, bytes) else json.dumps(body).encode(),
        content_type="application/octet-stream" if is_file else "application/json",
        headers={"Authorization": f"Bearer {key}"},
    )


def test_an_upload_is_loaded_with_its_options(key: str, table: Table) -> None:
    options = {"delimiter": ";", "null": "NA", "quarantine_limit": 90}
    made = call(key, "/upload", gzip.compress(CSV), file="h.csv.gz", **options)
    run = made.json()
    assert (made.status_code, run["state"], run["name"]) == (201, "queued", "h.csv.gz")
    backfill_runs.work(run["id"])
    (listed,) = call(key, "", method="GET").json()["runs"]
    assert call(key, "", method="GET", run=run["id"]).json()["runs"] == [listed]
    outcome = {"file": "h.csv.gz", "landed": 2, "quarantined": 1, "skipped": 0}
    assert (listed["state"], listed["percent"], listed["outcomes"]) == ("done", 100, [outcome])
    assert (listed["landed"], listed["quarantined"], listed["error"]) == (2, 1, "")
    assert numbers(table) == [1, 2]


def test_a_run_is_cancelled_and_resumed(key: str, table: Table) -> None:
    pk = call(key, "/upload", b"n\n5\n", file="a.csv").json()["id"]
    assert call(key, "/cancel", {"run": pk}).json()["state"] == "cancelled"
    again = call(key, "/cancel", {"run": pk})
    assert (again.status_code, again.json()["code"]) == (409, "refused")
    backfill_runs.work(pk)
    assert numbers(table) == []
    assert call(key, "/resume", {"run": pk}).json()["state"] == "queued"
    backfill_runs.work(pk)
    assert numbers(table) == [5]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({}, 400, "parameter_invalid"),
        ({"file": ""}, 400, "parameter_invalid"),
        ({"file": "a.exe"}, 422, "file_refused"),
        ({"file": "a.csv", "delimiter": "aa"}, 422, "file_refused"),
        ({"file": "a.csv", "encoding": "klingon"}, 422, "file_refused"),
        ({"file": "a.csv", "format": "xlsx"}, 400, "parameter_invalid"),
        ({"file": "a.csv", "quarantine_limit": "101"}, 400, "parameter_invalid"),
        ({"file": "a.ndjson", "delimiter": ";"}, 422, "file_refused"),
        ({"file": "a.csv", "flie": "b"}, 400, "unknown_parameter"),
    ],
)
def test_what_can_not_be_is_refused_by_name(
    query: dict[str, str], status: int, code: str, key: str, folder: Path
) -> None:
    answer = call(key, "/upload", b"n\n1\n", **query)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content
    assert not [path for path in folder.rglob("*") if path.is_file()]


def test_a_large_or_broken_upload_leaves_nothing(key: str, folder: Path, settings: Any) -> None:
    short = Client(raise_request_exception=False).post(
        "/api/v1/tables/events/backfills/upload?file=a.csv",
        data=None,
        content_type="application/octet-stream",
        headers={"Authorization": f"Bearer {key}"},
        CONTENT_LENGTH="100",
        **{"wsgi.input": BytesIO(b"n\n1\n")},
    )
    assert (short.status_code, short.json()["code"]) == (400, "body_unreadable")
    settings.MILLRACE_UPLOAD_MAX_BYTES = 5
    large = call(key, "/upload", b"n\n1\n2\n", file="a.csv")
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
    assert not [path for path in folder.rglob("*") if path.is_file()]
    assert not BackfillRun.objects.exists()


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/a.csv",
        "file:///etc/passwd.csv",
        "/etc/a.csv",
        "s3://x/a.csv",
        "https://u:p@example.com/a.csv",
    ],
)
def test_a_location_that_is_not_open_is_refused(location: str, key: str) -> None:
    answer = call(key, "", {"locations": [location]})
    assert (answer.status_code, answer.json()["code"]) == (422, "file_refused")
    assert "u:p" not in answer.content.decode()
    secret = call(key, "", {"locations": ["https://example.com/a.csv?sig=secret"]})
    assert secret.status_code == 201
    assert "secret" not in secret.content.decode()


def test_other_tenants_keys_and_narrow_ones_see_nothing(
    key: str, table: Table, tenant_factory: Callable[..., Tenant]
) -> None:
    pk = call(key, "/upload", b"n\n5\n", file="a.csv").json()["id"]
    bound_to_source = Rights(("manage",), sources=("web",))
    stranger = create_key(tenant_factory("stranger"), "x", scopes=["manage"])[1]
    bound = create_key(table.tenant, "bound", rights=bound_to_source)[1]
    for other in (stranger, bound):
        assert call(other, "", method="GET").status_code == 404
        assert call(other, "/cancel", {"run": pk}).status_code == 404
        assert call(other, "/upload", b"n\n6\n", file="a.csv").status_code == 404
    reader = create_key(table.tenant, "reader", scopes=["queries:run"])[1]
    assert call(reader, "/upload", b"n\n6\n", file="a.csv").status_code == 403
    assert BackfillRun.objects.get().state == "queued"
