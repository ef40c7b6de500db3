"""What forms say, refuse and offer: help, pickers, searches, all errors at once, no internals."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from walking.cast import Cast, make, rows_of

from analytics_api.guard import QueryRefused
from analytics_api.models import SavedQuery
from analytics_api.services.saved_queries import check_query, readable_tables
from ingestion.models import Column, Connection, Source, Table
from tenants.models import APIKey, Membership, Tenant
from tenants.scoping import ScopedManager

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.fixture
def cast(db: None, unique: Any) -> Cast:
    return make(unique("x").removeprefix("x"), in_engine=False)


@pytest.fixture
def operator(cast: Cast) -> Client:
    made = Client()
    made.force_login(User.objects.create_superuser("operator"))
    return made


def page_of(model: Any, name: str, *arguments: Any) -> str:
    meta = model._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{name}", args=arguments)


def text_of(answer: Any) -> str:
    return html.unescape(answer.content.decode())


# --- Words --------------------------------------------------------------------------------------


def test_help_texts_keep_what_stands_in_angle_brackets(operator: Client, cast: Cast) -> None:
    seen = 0
    for model in MODELS:
        model_admin = admin.site._registry[model]
        answer = operator.get(page_of(model, "changelist"))
        if not model_admin.has_add_permission(answer.wsgi_request):
            continue
        page = operator.get(page_of(model, "add")).content.decode()
        assert "&lt;a " not in page, "what is markup on purpose stays so"
        for field in model._meta.fields:
            words = re.findall(r"<\w+>", str(field.help_text))
            if words and f'id="id_{field.name}"' in page:
                assert all(html.escape(word) in page for word in words), field
                seen += 1
    assert seen >= 2


def test_no_list_speaks_of_yielding(operator: Client, cast: Cast) -> None:
    for model in MODELS:
        at = page_of(model, "changelist")
        if admin.site._registry[model].search_fields:
            empty = operator.get(at, {"q": "no such thing"}).content.decode()
            assert "Nothing matches" in empty, model
            assert "yielded" not in empty


# --- Finding ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_list_of_tenants_objects_is_searched_by_tenant(operator: Client, cast: Cast) -> None:
    Tenant.objects.filter(pk=cast.own.pk).update(name="Bakery of Bath")
    for model in MODELS:
        if not isinstance(getattr(model, "objects", None), ScopedManager):
            continue  # it is the installation's
        own = rows_of(cast.own, model)
        assert own.exists(), model
        for term in (cast.own.slug, "Bakery of Bath"):
            found = operator.get(page_of(model, "changelist"), {"q": term}).context["cl"]
            assert found.queryset.count() >= own.count(), (model, term)
            others = rows_of(cast.other, model).values_list("pk", flat=True)
            assert not found.queryset.filter(pk__in=others).exists(), (model, term)


@pytest.mark.parametrize("model", [Source, Table, Connection, SavedQuery])
def test_what_is_shown_is_found(model: Any, operator: Client, cast: Cast) -> None:
    own = rows_of(cast.own, model).first()
    found = operator.get(page_of(model, "changelist"), {"q": str(own)}).context["cl"].queryset
    assert [one.pk for one in found] == [own.pk]


def search(client: Client, term: str) -> str:
    return text_of(client.get(reverse("admin:search"), {"s": term, "extended": "1"}))


def test_the_search_over_everything_finds_objects_and_says_when_there_are_none(
    operator: Client, cast: Cast
) -> None:
    source = rows_of(cast.own, Source).first()
    found = search(operator, str(source))
    assert page_of(Source, "change", source.pk) in found
    assert page_of(Source, "changelist") in search(operator, "sources")
    renamed = Source.across_tenants.filter(pk=source.pk)
    renamed.update(name="quite_new")
    assert "quite_new" in search(operator, "quite_new"), "nothing old is kept"
    nothing = search(operator, "no such thing")
    assert "for “no such thing”" in nothing
    assert 'id="command-results-list"' in nothing
    page = operator.get(reverse("admin:index")).content.decode()
    assert "opencommand" in page


def test_a_member_finds_their_own_and_nothing_once_they_are_none(cast: Cast) -> None:
    client, user = Client(), User.objects.get(username="editor")
    client.force_login(user)
    own, other = (rows_of(one, Source).first() for one in (cast.own, cast.other))
    assert page_of(Source, "change", own.pk) in search(client, str(own))
    assert page_of(Source, "change", other.pk) not in search(client, str(other))
    assert page_of(APIKey, "changelist") not in search(client, "keys")
    Membership.across_tenants.filter(user=user).delete()
    assert page_of(Source, "change", own.pk) not in search(client, str(own))


# --- Pickers ------------------------------------------------------------------------------------


def offered(client: Client, field: str, term: str = "", **more: Any) -> list[str]:
    asked = {"app_label": "ingestion", "model_name": "source", "field_name": field, "term": term}
    answer = client.get(reverse("admin:autocomplete"), asked | more)
    return sorted(one["text"] for one in answer.json()["results"])


def test_pickers_offer_what_is_of_the_chosen_tenant(operator: Client, cast: Cast) -> None:
    shared = Connection.objects.create(name="everyones", kind="kafka", addresses="k:1")
    for tenant in (cast.own, cast.other):
        tables = sorted(map(str, rows_of(tenant, Table)))
        assert offered(operator, "table", tenant=tenant.pk) == tables
        connections = sorted(map(str, [*rows_of(tenant, Connection), shared]))
        assert offered(operator, "connection", tenant=tenant.pk) == connections
    assert len(offered(operator, "table")) == 2
    table = rows_of(cast.own, Table).get()
    assert offered(operator, "table", str(table), tenant=cast.own.pk) == [str(table)]
    assert offered(operator, "table", str(table), tenant=cast.other.pk) == []
    assert offered(operator, "connection", "shared.everyones") == ["shared.everyones"]


def test_a_form_tells_its_pickers_the_tenant(operator: Client, cast: Cast) -> None:
    source = rows_of(cast.own, Source).first()
    page = operator.get(page_of(Source, "change", source.pk)).content.decode()
    assert f'data-tenant="{cast.own.pk}"' in page
    for at in (page_of(Source, "add"), page_of(Source, "change", source.pk)):
        assert "millrace/pickers.js" in operator.get(at).content.decode()


# --- Refusals -----------------------------------------------------------------------------------


def test_no_form_answers_with_the_name_of_a_constraint(operator: Client, cast: Cast) -> None:
    own = rows_of(cast.own, Source).exclude(connection=None).get()
    form = {
        "tenant": own.tenant_id,
        "name": "twice",
        "connection": own.connection_id,
        "stream": own.stream,
        "table": own.table_id,
        "start": "earliest",
        "quarantine_limit": "30",
    }
    page = text_of(operator.post(page_of(Source, "add"), form))
    assert "Another source already reads this stream into this table" in page
    assert "Constraint" not in page


@pytest.mark.parametrize("model", [Source, Connection])
def test_a_name_that_is_taken_is_refused_when_an_object_is_renamed(
    model: Any, operator: Client, cast: Cast
) -> None:
    one = rows_of(cast.own, model).exclude(**({"connection": None} if model is Source else {}))[0]
    fields = {"table": one.table} if model is Source else {"kind": "kafka", "addresses": "k:1"}
    model.objects.create(tenant=cast.own, name="taken", **fields)
    form = {
        "name": "taken",
        **(
            {"connection": one.connection_id, "stream": "s", "table": one.table_id}
            if model is Source
            else {"addresses": "k:1", "options": "{}"}
        ),
        "start": "earliest",
        "quarantine_limit": "30",
    }
    answer = operator.post(page_of(model, "change", one.pk), form)
    assert answer.status_code == 200
    assert "already exists" in text_of(answer)
    one.refresh_from_db()
    assert one.name != "taken"


BAD_CONNECTIONS = [
    ("kafka", {"addresses": "http://nohost"}, "addresses", "without http://"),
    ("kafka", {"addresses": "amqp://k:1"}, "addresses", "without amqp://"),
    ("kafka", {"options": {"bootstrap.servers": "k:1"}}, "options", "belongs in the addresses"),
    ("kafka", {"options": {"sasl.password": "x"}}, "options", "belongs in the password"),
    ("kafka", {"options": {"prefetch": 5}}, "options", "sets prefetch"),
    ("kafka", {"options": {"client.rack": ["a"]}}, "options", "to a list or an object"),
    ("rabbitmq", {"options": {"client.rack": "a"}}, "options", "sets client.rack"),
    ("rabbitmq", {"options": {"prefetch": 0}}, "options", "from 1 to 65535"),
    ("rabbitmq", {"addresses": "amqp://r:5672"}, "addresses", "is not an address"),
]


@pytest.mark.parametrize(("kind", "fields", "field", "says"), BAD_CONNECTIONS)
def test_a_connection_that_can_not_be_is_refused_as_it_is_saved(
    kind: str, fields: dict[str, Any], field: str, says: str, cast: Cast
) -> None:
    made = Connection(
        **{"tenant": cast.own, "name": "c", "kind": kind, "addresses": "k:1"} | fields
    )
    with pytest.raises(ValidationError) as refused:
        made.full_clean()
    assert set(refused.value.message_dict) == {field}
    assert says in str(refused.value.message_dict[field])


def test_a_name_that_is_not_known_is_told_and_saved(operator: Client, cast: Cast) -> None:
    form = {
        "tenant": cast.own.pk,
        "name": "later",
        "kind": "kafka",
        "addresses": "no-such-host.invalid:9092",
        "options": "{}",
    }
    page = text_of(operator.post(page_of(Connection, "add"), form, follow=True))
    assert "machine can't resolve the host name in no-such-host.invalid:9092" in page
    assert Connection.across_tenants.filter(name="later").exists()


def _columns(table: Table, *rows: dict[str, Any], stand: int = 0) -> dict[str, Any]:
    found = {
        "tenant": table.tenant_id,
        "name": table.name,
        "sorting_key": "n",
        "quarantine_days": "30",
        "unknown_fields": "count",
        "columns-TOTAL_FORMS": str(len(rows)),
        "columns-INITIAL_FORMS": str(stand),
    }
    for number, row in enumerate(rows):
        found |= {f"columns-{number}-{name}": value for name, value in row.items()}
    return found


def test_errors_of_a_table_are_told_at_once(operator: Client, cast: Cast) -> None:
    new = Table(tenant=cast.own, name="Not a name")
    form = _columns(
        new,
        {"name": "n", "type": "UInt17"},
        {"name": "bad name", "type": "String"},
        {"name": "m", "type": "UInt8", "default": "300"},
    )
    page = text_of(operator.post(page_of(Table, "add"), form))
    for part in ("UInt17", "Use up to 63 lower-case letters", "Use up to 63 letters", "300"):
        assert part in page, part
    assert "is no column" not in page, "n is one, though its type is wrong"


def test_errors_of_a_key_are_told_at_once(operator: Client, cast: Cast) -> None:
    form = {
        "tenant": cast.own.pk,
        "name": "",
        "scopes": ["queries:run"],
        "expires_at_0": "",
        "expires_at_1": "",
        "queries": "no-good name!",
        "networks": "nowhere",
        "origins": "shop",
    }
    page = text_of(operator.post(page_of(APIKey, "add"), form))
    for part in ("is required", "not a valid name", "not an IP address", "is not an origin"):
        assert part in page, part


# --- Columns ------------------------------------------------------------------------------------


@pytest.fixture
def table(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Table:
    columns = [
        {"name": "n", "type": "UInt32"},
        {"name": "price", "type": "Float64", "required": False, "default": "0"},
    ]
    return table_factory(tenant_factory(), columns, sorting_key=["n"])


def rows_as_sent(table: Table, **changes: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "id": one.pk,
            "table": table.pk,
            "name": one.name,
            "type": one.type,
            "path": one.path,
            "default": one.default or "",
            **({"required": "on"} if one.required else {}),
            **changes.get(one.name, {}),
        }
        for one in table.columns.all()
    ]


def test_a_default_makes_a_column_optional(operator: Client, table: Table) -> None:
    new = {"name": "extra", "type": "String", "default": '""', "required": "on"}
    form = _columns(table, *rows_as_sent(table), new, stand=2)
    assert operator.post(page_of(Table, "change", table.pk), form).status_code == 302
    made = Column.across_tenants.get(table=table, name="extra")
    assert (made.required, made.default) == (False, '""')


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "cost"}, "Column price becomes cost: a new column, read from “price”"),
        (
            {"name": "cost", "path": "a.cost"},
            "Column price becomes cost: a new column, read from “a.cost”",
        ),
        ({"DELETE": "on"}, "Column price is no longer filled."),
    ],
)
def test_what_a_rename_or_removal_does_is_said_before_it_is_saved(
    changes: dict[str, str], says: str, operator: Client, table: Table
) -> None:
    at = page_of(Table, "change", table.pk)
    form = _columns(table, *rows_as_sent(table, price=changes), stand=2)
    shown = operator.post(at, form)
    assert shown.status_code == 200
    page = text_of(shown)
    assert says in page
    assert "Nothing was saved yet." in page
    assert "price" in set(table.columns.values_list("name", flat=True))
    confirmed = shown.context["adminform"].form["confirmed"].value()
    assert operator.post(at, form | {"confirmed": confirmed}).status_code == 302
    names = set(table.columns.values_list("name", flat=True))
    assert "price" not in names
    if "name" in changes:
        assert table.columns.get(name="cost").path == changes.get("path", "price")


def test_errors_name_no_internal_tables(table: Table) -> None:
    assert readable_tables(table.tenant.warehouse.database) == ["events", "events__quarantine"]
    with pytest.raises(QueryRefused) as refused:
        check_query(table.tenant, "SELECT * FROM nothing")
    assert "__leftovers" not in str(refused.value)


def test_the_page_that_deletes_a_tenant_opens_without_an_error(
    operator: Client, table: Table, valkey: str
) -> None:
    at = reverse("admin:tenants_tenant_remove", args=[table.tenant_id])
    for asked in (operator.get, operator.post):  # the button of the tenant's page is a form
        page = asked(at).content.decode()
        assert 'role="alert"' not in page
        assert "leftovers" not in page
    assert 'role="alert"' in operator.post(at, {"confirmation": ""}).content.decode()
