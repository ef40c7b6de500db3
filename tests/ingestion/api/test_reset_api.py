"""Resets by API and by command, and where a message went."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse

from ingestion.consume.loop import Slice
from ingestion.models import Reset, Source, StreamPartition, Table
from ingestion.services import resets
from tenants.models import AuditEntry
from tenants.services.keys import create_key
from tenants.warehouse.errors import STILL_AT_WORK, RunningAlready


@pytest.fixture
def landed(topic: Callable[..., Any], table: Table) -> Source:
    stream = topic()
    source: Source = stream.source(table)
    stream.send([b'{"n": 0}', b'{"n": -1}', b'{"n": 2}'])
    Slice(source.connection_id, seconds=1).run()
    assert position() == 3
    return source


def position() -> int | None:
    return StreamPartition.objects.get().position


def ask(source: Source, body: Any) -> Any:
    key = create_key(source.tenant, "operator", scopes=["manage"])[1]
    return Client(raise_request_exception=False).post(
        f"/api/v1/sources/{source.name}/reset",
        body if isinstance(body, str) else json.dumps(body),
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}"},
    )


def test_the_api_tells_what_it_would_do_and_does_it(landed: Source) -> None:
    told = ask(landed, {"to": "start"})
    move = {"partition": 0, "position": 3, "to": 0, "low_watermark": 0, "high_watermark": 3}
    move |= {"read_again": 3, "skipped": 0}
    assert (told.status_code, told.json()) == (200, {"done": False, "partitions": [move]})
    assert position() == 3
    done = ask(landed, {"to": "offset", "offset": 2, "partition": 0, "confirm": True})
    assert done.json()["done"]
    assert done.json()["partitions"][0]["read_again"] == 1
    assert position() == 2


@pytest.mark.parametrize(
    "flags",
    [
        {"confirm": False},
        {"preview": True},
        {"preview": False},
        {"confirm": True, "preview": True},
    ],
)
def test_nothing_is_done_without_confirm(landed: Source, flags: dict[str, bool]) -> None:
    told = ask(landed, {"to": "start", **flags})
    assert (told.status_code, told.json()["done"]) == (200, False)
    assert told.json()["partitions"][0]["read_again"] == 3
    assert position() == 3
    assert not Reset.objects.exists()
    assert not AuditEntry.objects.filter(action="source.reset").exists()


def test_the_audit_log_keeps_what_was_asked(landed: Source) -> None:
    assert ask(landed, {"to": "start", "doubles": True, "confirm": True}).json()["done"]
    (entry,) = AuditEntry.objects.filter(action="source.reset")
    assert entry.detail == {"to": "start", "doubles": True}


def test_an_insert_that_still_runs_is_told_as_the_command_tells_it(
    landed: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def still_runs(*_: Any, **__: Any) -> None:
        raise RunningAlready(STILL_AT_WORK)

    monkeypatch.setattr(resets.addresses, "place_of", still_runs)
    answer = ask(landed, {"to": "start", "confirm": True})
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    assert answer.json()["detail"] == STILL_AT_WORK
    assert answer["Retry-After"] == "5"
    with pytest.raises(CommandError, match="still running an earlier attempt"):
        call_command("reset", str(landed), "--start", "--yes")
    assert position() == 3


@pytest.mark.parametrize(
    ("body", "status", "code", "text"),
    [
        ("{", 400, "body_unreadable", "not JSON"),
        ({}, 400, "parameter_invalid", "to: "),
        ({"to": "moon"}, 400, "parameter_invalid", "to: "),
        ({"to": "start", "preveiw": True}, 400, "unknown_member", "Did you mean 'preview'?"),
        ({"to": "start", "confrim": True}, 400, "unknown_member", "Did you mean 'confirm'?"),
        ({"to": "start", "confirm": "yes"}, 400, "parameter_invalid", "confirm: "),
        ('{"to": "start", "preview": false, "preview": true}', 400, "doubled_member", "'preview'"),
        ('{"to": "start", "partition": NaN}', 400, "body_unreadable", "NaN is not JSON"),
        ([], 400, "parameter_invalid", "a JSON object"),
        ({"to": "offset"}, 400, "parameter_invalid", "offset: Needed"),
        ({"to": "time", "time": "noon"}, 400, "parameter_invalid", "time: "),
        ({"to": "offset", "offset": 9, "partition": 0}, 409, "cannot_reset", "0 to 3; 9 is not"),
        ({"to": "start", "partition": 4}, 409, "cannot_reset", "no partition 4"),
    ],
)
def test_what_can_not_be_done_is_a_problem(
    landed: Source, body: Any, status: int, code: str, text: str
) -> None:
    answer = ask(landed, body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert text in answer.json()["detail"]
    assert position() == 3


def test_the_command_changes_nothing_before_yes(landed: Source) -> None:
    out = io.StringIO()
    call_command("reset", str(landed), "--start", stdout=out)
    assert "Nothing was changed" in out.getvalue()
    assert position() == 3
    call_command("reset", str(landed), "--start", "--yes", stdout=out)
    assert position() == 0
    with pytest.raises(CommandError, match="Give the partition too"):
        call_command("reset", str(landed), "--offset", "1")


@pytest.mark.slow
def test_a_message_leads_to_its_row_and_back(landed: Source) -> None:
    out = io.StringIO()
    call_command("locate", str(landed), "--offset", "2", stdout=out)
    assert 'Message: {"n": 2}' in out.getvalue()
    assert '"n": 2' in out.getvalue().split("Table: ")[1]
    assert "Batch " in out.getvalue()
    call_command("locate", str(landed), "--offset", "1", stdout=out)
    assert '"column": "n"' in out.getvalue().split("Quarantine: ")[1]
    with pytest.raises(CommandError, match="No row"):
        call_command("locate", str(landed), "--offset", "77", stdout=out)
    assert "It has not been read yet: the position is 3." in out.getvalue()


def test_a_message_of_a_queue_is_found_by_its_id(queue: Callable[..., Any], table: Table) -> None:
    stream = queue()
    source = stream.source(table)
    stream.send([b'{"n": 7}'], ids=["order-7"])
    Slice(source.connection_id, seconds=1).run()
    out = io.StringIO()
    call_command("locate", str(source), "--id", "order-7", stdout=out)
    assert '"n": 7' in out.getvalue()


@pytest.mark.slow
def test_the_admin_previews_resets_and_finds(landed: Source) -> None:
    operator = Client()
    operator.force_login(User.objects.create_superuser("operator"))
    address = reverse("admin:ingestion_source_reset", args=[landed.pk])
    assert "Preview" in operator.get(address).content.decode()
    told = operator.get(address, {"to": "start"}).content.decode()
    assert "0 to 3" in told
    assert f"Reset {landed}" in told
    without_offset = operator.get(address, {"to": "offset"}).content.decode()
    assert "Enter the offset to continue at." in without_offset
    wrong = {"to": "offset", "offset": 9, "partition": 0}
    assert "9 is not among them" in operator.get(address, wrong).content.decode()
    assert position() == 3
    done = operator.post(address, {"to": "start"}, follow=True).content.decode()
    assert "3 offsets are read again, 0 are skipped" in done
    assert position() == 0
    find = reverse("admin:ingestion_source_find", args=[landed.pk])
    assert "Enter an offset" in operator.get(find, {"partition": "0"}).content.decode()
    found = operator.get(find, {"partition": "0", "offset": "1"}).content.decode()
    assert "In quarantine" in found
    assert "wrong_type" in found or "out_of_range" in found
    member = Client()
    member.force_login(User.objects.create_user("nobody", is_staff=True))
    for page in (address, find):
        assert member.get(page).status_code in (403, 404)
