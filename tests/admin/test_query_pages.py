"""Drafts and published versions of saved queries, and the curl lines that pages print."""

from __future__ import annotations

import html
import os
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from analytics_api.models import SavedQuery
from analytics_api.selectors import drafts, published
from analytics_api.services import saved_queries
from ingestion.models import Table
from tenants.models import Scope, Tenant
from tenants.services.keys import create_key

ADD = "admin:analytics_api_savedquery_add"
LIST = "admin:analytics_api_savedquery_changelist"
INLINE = {"versions-TOTAL_FORMS": "0", "versions-INITIAL_FORMS": "0"}
COLUMNS = [{"name": "n", "type": "UInt32"}, {"name": "t", "type": "DateTime64(3)"}]


@pytest.fixture
def table(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Table:
    return table_factory(tenant_factory(), COLUMNS, sorting_key=["n"])


@pytest.fixture
def query(table: Table) -> SavedQuery:
    """Published, without a draft beside it."""
    made = SavedQuery.objects.create(
        tenant=table.tenant,
        name="q",
        sql="SELECT n FROM events -- all\nWHERE n > {least:UInt8};",
        parameters={"least": {"default": 0, "description": ""}},
    )
    saved_queries.publish(made)
    return made


def address(query: SavedQuery, page: str = "change", *more: str) -> str:
    return reverse(f"admin:analytics_api_savedquery_{page}", args=[query.pk, *more])


def save(operator: Client, query: SavedQuery, **changes: Any) -> str:
    form = {"description": "", "sql": query.sql, "parameters": '{"least": {"default": 0}}'}
    answer = operator.post(address(query), form | INLINE | changes, follow=True)
    query.refresh_from_db()
    return html.unescape(answer.content.decode())


def act(operator: Client, query: SavedQuery, name: str) -> str:
    answer = operator.post(address(query, "act", name), {"confirmed": "1"}, follow=True)
    query.refresh_from_db()
    return html.unescape(answer.content.decode())


def test_saving_publishes_nothing_and_says_what_answers(
    operator: Client, query: SavedQuery
) -> None:
    assert not drafts.has_draft(query)
    save(operator, query)
    assert query.versions.count() == 1
    told = save(operator, query, sql="SELECT n + 1 AS m FROM events")
    assert query.versions.count() == 1
    assert query.published is not None
    assert "n + 1" not in query.published.sql
    assert "The draft was saved. The endpoint still runs version 1 until you publish" in told
    assert "Version 1 + draft" in told


def test_an_unpublished_query_stays_so_however_often_it_is_saved(
    operator: Client, query: SavedQuery
) -> None:
    act(operator, query, "unpublish")
    assert query.published is None
    told = save(operator, query)
    assert query.published is None
    assert "It has no endpoint until you publish the draft." in told
    page = operator.get(address(query)).content.decode()
    assert 'type="checkbox"' not in page.split("submit-row")[0].split('id="id_parameters"')[1]


def test_publishing_is_a_button_that_says_what_happens_and_asks(
    operator: Client, query: SavedQuery
) -> None:
    save(operator, query, sql="SELECT 2 AS two", parameters="{}")
    shown = operator.get(address(query)).content.decode()
    assert "/do/publish/" in shown
    assert "This is a draft. The endpoint runs version 1 until you publish it." in shown
    for asked in (operator.get, operator.post):
        page = asked(address(query, "act", "publish")).content.decode()
        assert "/api/v1/queries/q will run this SQL from now on. It runs version 1 now." in page
        assert "SELECT 2 AS two" in page
    query.refresh_from_db()
    assert query.versions.count() == 1
    assert "Version 2 was published. /api/v1/queries/q runs it" in act(operator, query, "publish")
    assert not drafts.has_draft(query)
    assert "/do/publish/" not in operator.get(address(query)).content.decode()
    assert "Version 2" in operator.get(reverse(LIST)).content.decode()


def test_what_can_not_be_published_is_saved_and_says_why(
    operator: Client, query: SavedQuery
) -> None:
    told = save(operator, query, sql="SELECT * FROM system.users", parameters="{}")
    assert "The query can't be published yet." in told
    page = operator.get(address(query, "act", "publish")).content.decode()
    assert "system.users" in page
    assert 'name="confirmed"' not in page
    assert "The query was not published" in act(operator, query, "publish")
    assert query.versions.count() == 1


def test_a_draft_is_discarded_for_the_version_that_answers(
    operator: Client, query: SavedQuery
) -> None:
    save(operator, query, sql="SELECT 2 AS two", parameters="{}")
    act(operator, query, "discard")
    assert query.published is not None
    assert query.sql == query.published.text, "as its author wrote it, comments included"
    assert query.parameters == {"least": {"default": 0}}
    assert not drafts.has_draft(query)


def test_unpublishing_asks_and_says_what_happens(operator: Client, query: SavedQuery) -> None:
    page = operator.get(address(query, "act", "unpublish")).content.decode()
    assert "/api/v1/queries/q will answer 404 to every key from now on" in page
    query.refresh_from_db()
    assert query.is_published
    act(operator, query, "unpublish")
    assert not query.is_published
    listed = operator.get(reverse(LIST), {"published": "no"}).content.decode()
    assert address(query) in listed
    assert address(query) not in operator.get(reverse(LIST), {"published": "yes"}).content.decode()


# --- Every curl works ---------------------------------------------------------------------------


def curls_of(page: str) -> list[str]:
    return [html.unescape(one) for one in re.findall(r"curl -sS [^<\n]+", page)]


def run(command: str, key: str = "") -> str:
    """What a shell makes of it: the HTTP status."""
    done = subprocess.run(
        ["bash", "-c", f"{command} -o /dev/null -w '%{{http_code}}'"],
        env={**os.environ, "KEY": key},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


@pytest.mark.django_db(transaction=True)
def test_the_curl_of_every_published_query_works(
    operator: Client, table: Table, live_server: Any, valkey: str
) -> None:
    declared = {
        "since": "DateTime64(3)",
        "day": "Date",
        "ids": "Array(UInt32)",
        "words": "Array(String)",
        "text": "String",
        "maybe": "Nullable(Int64)",
        "share": "Float64",
        "price": "Decimal(10, 2)",
        "flag": "Bool",
        "uuid": "UUID",
        "kind": "Enum8('it''s' = 1, 'b' = 2)",
        "address": "IPv4",
    }
    parts = ", ".join(f"{{{name}:{kind}}} AS {name}" for name, kind in declared.items())
    given = {"text": {"default": "a b&c=ü'\""}, "ids": {"default": [1, 2]}}
    for name, parameters in (("without", {}), ("with_defaults", given)):
        made = SavedQuery.objects.create(
            tenant=table.tenant, name=name, sql=f"SELECT {parts}", parameters=parameters
        )
        saved_queries.publish(made)
    published.forget()
    _, key = create_key(table.tenant, "k")
    for made in SavedQuery.objects.all():
        host = live_server.url.removeprefix("http://")
        page = operator.get(address(made), HTTP_HOST=host).content.decode()
        (command,) = curls_of(page)
        assert "DateTime64" not in command
        assert run(command, key) == "200", command


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("scope", list(Scope))
def test_the_curl_of_every_new_key_works(
    operator: Client, table: Table, live_server: Any, valkey: str, scope: str
) -> None:
    form = {"tenant": table.tenant.pk, "name": "k", "scopes": [scope], "expires_at_0": ""}
    for origins in ("", "https://shop.example.com"):
        page = operator.post(
            reverse("admin:tenants_apikey_add"),
            form | {"expires_at_1": "", "origins": origins},
            HTTP_HOST=live_server.url.removeprefix("http://"),
        ).content.decode()
        commands = curls_of(page)
        if scope == Scope.EVENTS_WRITE:
            assert commands == []
            continue
        assert [run(one) for one in commands] == ["200"], commands
