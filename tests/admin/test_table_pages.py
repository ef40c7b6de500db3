"""A table's page: what ClickHouse refuses is said at its field, and nothing of it is saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from ingestion.models import Column, Table
from ingestion.provision import provision_table
from ingestion.services import tables
from tenants.models import ProvisionState, Tenant
from tenants.warehouse import client as warehouse

COLUMNS = [
    {"name": "id", "type": "UInt32"},
    {"name": "price", "type": "Decimal(10, 2)"},
    {"name": "status", "type": "Enum8('new' = 1, 'done' = 2)"},
]


@pytest.fixture
def three(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Table:
    return table_factory(tenant_factory("shop"), COLUMNS, name="three", sorting_key=["id"])


def form(table: Table | None, tenant: Tenant, **changes: Any) -> dict[str, Any]:
    """What the page sends: the table as it is, but for ``changes`` (``id__type`` of a column)."""
    kept = list(table.columns.all()) if table else [Column(**one) for one in COLUMNS]
    data: dict[str, Any] = {
        "tenant": tenant.pk,
        "name": "three",
        "sorting_key": "id",
        "partition_key": "",
        "ttl": "",
        "quarantine_days": "30",
        "unknown_fields": "count",
        "columns-TOTAL_FORMS": len(kept),
        "columns-INITIAL_FORMS": len(kept) if table else 0,
    }
    for number, column in enumerate(kept):
        prefix = f"columns-{number}"
        data |= {
            f"{prefix}-id": column.pk or "",
            f"{prefix}-table": table.pk if table else "",
            f"{prefix}-position": number,
            f"{prefix}-path": "",
            f"{prefix}-required": "on",
            f"{prefix}-default": "",
        }
        for field in ("name", "type", "format"):
            changed = changes.pop(f"{column.name}__{field}", getattr(column, field))
            data[f"{prefix}-{field}"] = changed
    return data | changes


def stands(table: Table) -> list[tuple[str, str]]:
    database = table.tenant.warehouse.database
    sql = (
        f"SELECT name, type FROM system.columns WHERE database = '{database}' ORDER BY table, name"
    )
    return [(row["name"], row["type"]) for row in warehouse.rows(sql)]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"id__type": "String"}, "Column id is UInt32 and can&#x27;t become String"),
        ({"id__type": "UInt64"}, "part of the table&#x27;s keys"),
        ({"price__type": "Decimal(10, 3)"}, "can&#x27;t become Decimal(10, 3)"),
        ({"status__type": "Enum8('new' = 1)"}, "can&#x27;t become Enum8"),
        ({"price__format": "%Y/%m/%d"}, "A column of Decimal has no format"),
        ({"ttl": "price + 1"}, "ClickHouse refuses this table"),
        ({"quarantine_days": "40000"}, "Enter a number of days from 1 to"),
    ],
)
def test_a_change_that_clickhouse_refuses_is_not_saved(
    changes: dict[str, str], says: str, operator: Client, three: Table
) -> None:
    before, columns = stands(three), list(three.columns.values())
    address = reverse("admin:ingestion_table_change", args=[three.pk])
    answer = operator.post(address, form(three, three.tenant, **changes))
    assert answer.status_code == 200
    assert says in answer.content.decode()
    three.refresh_from_db()
    assert list(three.columns.values()) == columns
    assert (three.ttl, three.generation, three.applied) == ("", 1, 1)
    assert stands(three) == before


def test_a_good_change_is_saved_and_asked_for(operator: Client, three: Table) -> None:
    address = reverse("admin:ingestion_table_change", args=[three.pk])
    data = form(three, three.tenant, price__type="Decimal(12, 2)")
    assert operator.post(address, data).status_code == 302
    three.refresh_from_db()
    assert three.generation == 2
    provision_table(three)
    assert (three.state, three.version) == (ProvisionState.READY, 2)
    assert ("price", "Decimal(12, 2)") in stands(three)


def test_a_table_that_clickhouse_cannot_make_is_not_saved(
    operator: Client, tenant_factory: Callable[..., Tenant]
) -> None:
    tenant = tenant_factory("shop")
    data = form(None, tenant, sorting_key="id, nosuch(price)")
    answer = operator.post(reverse("admin:ingestion_table_add"), data)
    assert answer.status_code == 200
    assert "ClickHouse refuses this table" in answer.content.decode()
    assert "millrace_rehearsal" not in answer.content.decode()
    assert not Table.objects.filter(tenant=tenant).exists()


def test_the_second_of_two_changes_is_held_against_the_first(three: Table) -> None:
    """Whoever opened the page before the first was saved must not narrow it again."""
    three.columns.filter(name="price").update(type="Decimal(14, 2)")
    tables.request_table(three)
    old = tuple(tables.ddl.ColumnSpec(one["name"], one["type"]) for one in COLUMNS)
    with pytest.raises(tables.ddl.SpecError, match=r"Column price is Decimal\(14, 2\)"):
        tables.check_table(three, old)


def test_keys_are_fixed_once_the_table_is_made(operator: Client, three: Table) -> None:
    address = reverse("admin:ingestion_table_change", args=[three.pk])
    page = operator.get(address).content.decode()
    for field in ("sorting_key", "partition_key"):
        assert f'name="{field}"' not in page
    assert operator.post(address, form(three, three.tenant, sorting_key="price")).status_code == 302
    three.refresh_from_db()
    assert three.sorting_key == ["id"]


def test_what_an_earlier_release_saved_and_clickhouse_refuses_is_taken_back(
    operator: Client, three: Table
) -> None:
    three.columns.filter(name="id").update(type="String")
    tables.request_table(three)
    provision_table(three)
    assert three.state == ProvisionState.FAILED
    address = reverse("admin:ingestion_table_change", args=[three.pk])
    assert "the columns below are not applied yet" in operator.get(address).content.decode()
    act = reverse("admin:ingestion_table_act", args=[three.pk, "take_back"])
    assert operator.post(act).status_code == 302
    three.refresh_from_db()
    provision_table(three)
    assert (three.state, three.version) == (ProvisionState.READY, 1)
    assert list(three.columns.values_list("type", flat=True)) == [one["type"] for one in COLUMNS]


def test_where_clickhouse_does_not_answer_nothing_is_saved(
    operator: Client, three: Table, settings: Any
) -> None:
    address = reverse("admin:ingestion_table_change", args=[three.pk])
    url, settings.CLICKHOUSE_URL = settings.CLICKHOUSE_URL, "http://127.0.0.1:9/"
    warehouse.forget()
    try:
        answer = operator.post(address, form(three, three.tenant, price__type="Decimal(12, 2)"))
    finally:
        settings.CLICKHOUSE_URL = url
        warehouse.forget()
    assert "Nothing was saved" in answer.content.decode()
    assert three.columns.get(name="price").type == "Decimal(10, 2)"
