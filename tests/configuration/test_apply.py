"""Files of configuration: applied whole or not at all, and mistakes have a place."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from analytics_api.models import SavedQuery
from ingestion.models import Connection, Source, Table
from tenants.models import Tenant
from tenants.warehouse.provision import remove

FILE = """\
tenants:
  - slug: {slug}
    name: Acme Inc.
    connections:
      - name: broker
        kind: kafka
        addresses: {{env: ACME_BROKER, default: "kafka:9092"}}
        username: acme
        password: {{env: ACME_PASSWORD}}
    tables:
      - name: orders
        columns:
          - {{name: time, type: DateTime64(3)}}
          - {{name: amount, type: "Decimal(18, 2)"}}
          - {{name: country, type: String, path: customer.country, default: "?"}}
          - {{name: note, type: Nullable(String)}}
        sorting_key: [country, time]
        ttl: time + INTERVAL 1 YEAR
    sources:
      - {{name: orders, connection: broker, stream: orders, table: orders}}
      - {{name: orders-http, table: orders, active: false}}
    queries:
      - name: by_country
        sql: |
          SELECT country, sum(amount) AS amount FROM orders
          WHERE time >= {{since:DateTime}} GROUP BY country
        parameters:
          since: {{default: "2020-01-01 00:00:00"}}
"""


@pytest.fixture
def slug(
    db: None, clickhouse_server: str, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    monkeypatch.setenv("ACME_PASSWORD", "s3cret")
    name = unique("cfg")
    yield name
    remove(f"t_{name}", f"t_{name}")


@pytest.fixture
def file(slug: str, tmp_path: Path) -> Path:
    path = tmp_path / "acme.yaml"
    path.write_text(FILE.format(slug=slug))
    return path


def apply(*files: Path, **options: Any) -> str:
    out = io.StringIO()
    call_command("apply", *map(str, files), stdout=out, **options)
    return out.getvalue()


def refused(path: Path) -> str:
    with pytest.raises(CommandError) as raised:
        apply(path)
    return str(raised.value)


def test_everything_is_made_and_a_second_run_does_nothing(file: Path, slug: str) -> None:
    said = apply(file)
    assert f"+ table {slug}.orders" in said
    assert "s3cret" not in said
    tenant = Tenant.objects.get(slug=slug)
    assert tenant.warehouse.state == "ready"
    assert Table.objects.get(tenant=tenant).state == "ready"
    assert Connection.objects.get(tenant=tenant).password == "s3cret"
    assert Connection.objects.get(tenant=tenant).addresses == "kafka:9092"
    assert dict(Source.objects.filter(tenant=tenant).values_list("name", "active")) == {
        "orders": True,
        "orders-http": False,
    }
    assert SavedQuery.objects.get(tenant=tenant).is_published
    assert apply(file) == "Nothing to do: all of it is as the files say.\n"


def test_a_dry_run_shows_the_difference_and_changes_nothing(file: Path, slug: str) -> None:
    apply(file)
    text = file.read_text().replace("Acme Inc.", "Acme Ltd.")
    file.write_text(text.replace("note, type: Nullable(String)", "memo, type: Nullable(String)"))
    said = apply(file, dry_run=True)
    assert "name: Acme Inc. → Acme Ltd." in said
    assert "columns: note Nullable(String) optional → memo Nullable(String) optional" in said
    assert "2 changes would be made" in said
    assert Tenant.objects.get(slug=slug).name == "Acme Inc."


def test_what_a_file_does_not_name_is_left_alone(file: Path, slug: str) -> None:
    apply(file)
    file.write_text(f"tenants:\n  - slug: {slug}\n")
    assert "Nothing to do" in apply(file)
    assert Source.objects.filter(tenant__slug=slug).count() == 2


def test_what_is_exported_applies_without_a_change(
    file: Path, slug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(file)
    out = io.StringIO()
    call_command("export", slug, stdout=out)
    assert "s3cret" not in out.getvalue()
    again = tmp_path / "again.yaml"
    again.write_text(out.getvalue())
    monkeypatch.setenv(f"{slug}_BROKER_PASSWORD".upper(), "s3cret")
    assert "Nothing to do" in apply(again)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "columns:",
            "colums:",
            "acme.yaml:12:9: 'colums' is not known here. Did you mean 'columns'?",
        ),
        ("kind: kafka", "kind: kafak", "acme.yaml:6:9: 'kafak' is not one of"),
        (
            "password: {env: ACME_PASSWORD}",
            "password: hunter2",
            "acme.yaml:9:9: A secret does not belong here",
        ),
        (
            "ACME_PASSWORD}",
            "NO_SUCH}",
            "acme.yaml:9:9: The environment variable NO_SUCH is not set.",
        ),
        ("type: DateTime64(3)}", "type: DateTim}", "acme.yaml:13:26: 'DateTim' is not a type"),
        ("time + INTERVAL", "tim + INTERVAL", "acme.yaml:18:9: There is no column 'tim'."),
        (
            "connection: broker",
            "connection: brokr",
            "acme.yaml:20:24: There is no connection 'brokr'",
        ),
        ("table: orders}", "table: order}", "There is no table 'order'. There are: orders."),
        ("name: Acme Inc.", "name: [", "acme.yaml:5:7: it is not YAML"),
        ("name: Acme Inc.", "name: a\n    name: b", "acme.yaml:4:5: 'name' stands here twice."),
    ],
)
def test_a_mistake_is_said_with_file_and_line_and_nothing_is_saved(
    old: str, new: str, says: str, file: Path, slug: str
) -> None:
    file.write_text(file.read_text().replace(old, new, 1))
    assert says in refused(file)
    assert not Tenant.objects.filter(slug=slug).exists()


def test_a_query_that_clickhouse_refuses_is_said_at_its_line(file: Path, slug: str) -> None:
    file.write_text(file.read_text().replace("FROM orders", "FROM other_tenants"))
    assert "acme.yaml:24:9: There is no table other_tenants" in refused(file)
    assert not SavedQuery.objects.get(tenant__slug=slug).is_published
    file.write_text(FILE.format(slug=slug))
    apply(file)
    assert SavedQuery.objects.get(tenant__slug=slug).is_published


def test_sources_are_paused_and_resumed_by_file(file: Path, slug: str) -> None:
    apply(file)
    file.write_text(file.read_text().replace("active: false", "active: true"))
    assert "active: False → True" in apply(file)
    assert Source.objects.get(tenant__slug=slug, name="orders-http").active


def test_secrets_come_from_files_too(file: Path, slug: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from a file\n")
    file.write_text(file.read_text().replace("{env: ACME_PASSWORD}", "{file: password}"))
    apply(file)
    assert Connection.objects.get(tenant__slug=slug).password == "from a file"
