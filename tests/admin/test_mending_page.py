"""The quarantine's page tries a repair, replays, discards, cancels, resumes and downloads."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from ingestion.models import QuarantineRun, Source, Table
from tenants.models import AuditEntry, Tenant
from tests.admin.test_kept_columns_page import member
from tests.ingestion.conftest import COLUMNS
from tests.ingestion.mending import UNQUOTE, finish, land
from tests.ingestion.running import numbers

EVIL = b'{"n": "<script>alert(1)</script>"}'


@pytest.fixture
def source(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Source:
    table = table_factory(tenant_factory("shop"), COLUMNS, sorting_key=["n"])
    return land(table, [b'{"n": "5"}', b'{"n": "6"}', EVIL])


def address(table: Table, page: str = "quarantine") -> str:
    return reverse(f"admin:ingestion_table_{page}", args=[table.pk])


def press(client: Client, table: Table, act: str, query: str = "", **fields: Any) -> Any:
    return client.post(address(table) + query, {"act": act, **fields}, follow=True)


@pytest.mark.parametrize("who", ["operator", "owner", "editor"])
def test_one_bad_field_is_mended(who: str, operator: Client, source: Source) -> None:
    table = source.table
    client = operator if who == "operator" else member(table.tenant, who)
    tried = press(client, table, "dry_run", repair=UNQUOTE).content.decode()
    assert "2 of 3</strong> messages would fit version" in tried
    assert "<script>alert" not in tried
    assert numbers(table) == []
    replayed = press(client, table, "replay", "?column=n", repair=UNQUOTE).content.decode()
    assert "3 messages are being replayed." in replayed
    assert "Cancel</button>" in replayed
    finish(QuarantineRun.objects.get())
    page = client.get(address(table)).content.decode()
    assert "2 of 3</td>" in page
    assert numbers(table) == [5, 6]
    assert AuditEntry.across_tenants.get(action="quarantine.replay").actor_name == who


def test_a_run_is_cancelled_and_resumed(operator: Client, source: Source) -> None:
    table = source.table
    press(operator, table, "replay", repair=UNQUOTE)
    run = QuarantineRun.objects.get()
    assert "It stops after" in press(operator, table, "cancel", run=run.pk).content.decode()
    assert "ended already" in press(operator, table, "cancel", run=run.pk).content.decode()
    assert "It goes on." in press(operator, table, "resume", run=run.pk).content.decode()
    for key in ("", "x", "0", "9" * 30):
        assert "no such run" in press(operator, table, "cancel", run=key).content.decode()


def test_what_can_not_be_done_is_said(operator: Client, source: Source) -> None:
    table = source.table
    assert "Say why" in press(operator, table, "discard").content.decode()
    said = press(operator, table, "replay", repair="toString(now())").content.decode()
    assert "The function now is not allowed" in said
    assert "toString(now())" in said
    assert not QuarantineRun.objects.exists()
    press(operator, table, "discard", note="a test")
    assert finish(QuarantineRun.objects.get()).moved == 3


def test_a_download_of_what_is_shown(operator: Client, source: Source) -> None:
    answer = operator.get(address(source.table, "misfits") + "?column=n")
    lines = [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]
    assert [line["raw"].encode() for line in lines][-1] == EVIL
    assert operator.get(address(source.table, "misfits") + "?column=s").getvalue() == b""


def test_a_viewer_only_looks_and_another_tenants_member_does_not(
    source: Source, tenant_factory: Callable[..., Tenant]
) -> None:
    table = source.table
    viewer, other = member(table.tenant, "viewer"), member(tenant_factory("other"), "owner")
    page = viewer.get(address(table)).content.decode()
    assert "Replay what fits" not in page
    for act in ("dry_run", "replay", "discard", "cancel", "resume"):
        assert press(viewer, table, act, note="no").status_code == 403
        assert press(other, table, act, note="no").status_code == 404
    assert viewer.get(address(table, "misfits")).status_code == 404
    assert other.get(address(table, "misfits")).status_code == 404
    assert not QuarantineRun.objects.exists()
