"""Columns that are not described any more, by API and by command."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from analytics_api.models import SavedQuery
from analytics_api.services.saved_queries import publish
from ingestion import provision
from ingestion.models import Column, Table
from ingestion.services import kept_columns
from tenants.models import AuditEntry, Tenant
from tenants.rights import Rights
from tenants.services.keys import create_key
from tenants.warehouse import client as warehouse
from tenants.warehouse.errors import WarehouseUnreachable
from tests.ingestion.test_kept_columns import COLUMNS, leave_out, names_of, pass_time

AT = "/api/v1/tables/events/kept-columns"
DROP = {"column": "note", "confirm": "note"}


@pytest.fixture
def wide(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Table:
    """A column was left out of it, which a published query names."""
    made = table_factory(tenant_factory(), COLUMNS, sorting_key=["n"])
    query = SavedQuery.objects.create(tenant=made.tenant, name="q", sql="SELECT note FROM events")
    publish(query)
    return leave_out(made, "note")


def key_of(table: Table, **rights: Any) -> str:
    return create_key(table.tenant, "x", rights=Rights(("manage",), **rights))[1]


def call(key: str, body: Any = None, address: str = AT) -> Any:
    """A POST where there is a body."""
    return Client(raise_request_exception=False).generic(
        "GET" if body is None else "POST",
        address,
        "" if body is None else json.dumps(body),
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}"},
    )


def test_it_is_told_what_hinders_and_dropped_once_nothing_does(wide: Table) -> None:
    key = key_of(wide)
    (told,) = call(key).json()["columns"]
    assert (told["name"], told["type"]) == ("note", "Nullable(String)")
    assert "may still be typed into it" in told["hindrance"]
    assert (told["failing_queries"], told["further_failing_queries"]) == (["q"], 0)
    refused = call(key, DROP)
    assert (refused.status_code, refused.json()["code"]) == (409, "cannot_drop")
    pass_time(wide)
    assert call(key).json()["columns"][0]["hindrance"] == ""
    for body, status, code in (
        ({"column": "note"}, 409, "not_confirmed"),
        ({"column": "note", "confirm": "n"}, 409, "not_confirmed"),
        ({"column": "n", "confirm": "n"}, 409, "cannot_drop"),
        ({"column": "_offset", "confirm": "_offset"}, 409, "cannot_drop"),
        ({"colum": "note", "confirm": "note"}, 400, "unknown_member"),
        ({"confirm": "note"}, 400, "parameter_invalid"),
        ({"column": 1}, 400, "parameter_invalid"),
    ):
        answer = call(key, body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), body
    assert "note" in names_of(wide)
    done = call(key, DROP)
    assert (done.status_code, done.json()) == (200, {"columns": []})
    assert "note" not in names_of(wide)
    entry = AuditEntry.objects.get(action="table.drop_column")
    assert (entry.actor_kind, entry.detail) == ("key", {"column": "note"})


def test_what_can_not_be_done_now_is_told_as_a_problem(
    wide: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_time(wide)
    key = key_of(wide)
    held = provision.held

    def away(*_: Any) -> None:
        raise WarehouseUnreachable("t_acme does not answer.")

    def busy(table: Table) -> Any:
        raise provision.TableBusy(f"{table} is being altered.")

    for target, name, instead, code in (
        (warehouse, "admin", away, "unavailable"),
        (provision, "held", busy, "busy"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, instead)
            answer = call(key, DROP)
        assert (answer.status_code, answer.json()["code"]) == (503, code)
        assert "t_acme" not in answer.content.decode()
    assert provision.held is held
    database = wide.tenant.warehouse.database
    by_hand = "ADD COLUMN by_hand String DEFAULT ifNull(note, '-')"
    warehouse.execute([f"ALTER TABLE {database}.events {by_hand}"])
    answer = call(key, DROP)
    assert (answer.status_code, answer.json()["code"]) == (409, "cannot_drop")
    assert database not in answer.content.decode()
    assert "note" in names_of(wide)


@pytest.mark.security
def test_who_may_not_drops_nothing(wide: Table, tenant_factory: Callable[..., Tenant]) -> None:
    pass_time(wide)
    _, other = create_key(tenant_factory("other"), "x", scopes=["manage"])
    for body in (None, DROP):
        there, nowhere = call(other, body), call(other, body, AT.replace("events", "nothing"))
        assert there.status_code == nowhere.status_code == 404
        assert there.content == nowhere.content
        assert call(key_of(wide, sources=("http",)), body).status_code == 404
        assert call(create_key(wide.tenant, "of old")[1], body).status_code == 403
        assert call("mr_wrong", body).status_code == 401
    assert call(key_of(wide, row_filters={"events": "n = 1"}), DROP).json()["code"] == "row_filter"
    told = call(key_of(wide, queries=("another",))).json()["columns"][0]
    assert (told["failing_queries"], told["further_failing_queries"]) == ([], 1)
    assert "note" in names_of(wide)


def test_the_command_lists_and_drops(wide: Table) -> None:
    def said(*words: str) -> str:
        out = io.StringIO()
        call_command("drop_column", str(wide), *words, stdout=out)
        return out.getvalue()

    assert "may still be typed into it" in said()
    with pytest.raises(CommandError, match="may still be typed into it"):
        said("--confirm", "note")
    pass_time(wide)
    listed = said()
    assert "note Nullable(String): can be dropped." in listed
    assert "Saved queries that will fail: q." in listed
    assert "Nothing was changed." in listed
    with pytest.raises(CommandError, match="keeps no column 'n'"):
        said("--confirm", "n")
    assert "was dropped with its data" in said("--confirm", "note")
    assert kept_columns.kept_columns(wide) == []
    assert "keeps no removed columns" in said()
    assert not Column.objects.filter(table=wide, name="note").exists()
