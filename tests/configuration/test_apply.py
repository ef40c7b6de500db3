"""Files of configuration: applied whole or not at all, and mistakes have a place."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command
from secured_brokers.certificates import Authority

from analytics_api.models import SavedQuery
from ingestion import rehearsal
from ingestion.models import Connection, Source, Table
from ingestion.services import sources
from tenants.models import AuditEntry, Tenant
from tenants.provisioning.warehouse import remove
from tenants.warehouse import client

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
      - {{name: orders-http, table: orders, active: false, quarantine_limit: 20}}
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


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(CommandError) as raised:
        apply(path, **options)
    return str(raised.value)


def exported(slug: str) -> str:
    out = io.StringIO()
    call_command("export", slug, stdout=out)
    return out.getvalue()


def standing(slug: str) -> list[dict[str, Any]]:
    """All columns of all tables of the tenant in ClickHouse."""
    sql = (
        "SELECT table, name, type, default_expression FROM system.columns "
        "WHERE database = {database:String} ORDER BY table, name"
    )
    return client.rows(sql, {"database": f"t_{slug}"})


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
    assert apply(file) == "Nothing to do: everything already matches the files.\n"


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


def test_paths_and_formats_are_applied_and_exported_as_they_are_written(
    file: Path, slug: str
) -> None:
    paths = {"country": "$['customer.country']", "note": "$.items[0]['имя']", "skus": "$.a[*].b"}
    text = file.read_text().replace("customer.country", f'"{paths["country"]}"')
    text = text.replace("Nullable(String)}", f'Nullable(String), path: "{paths["note"]}"}}')
    form = "%d.%m.%Y"
    more = f'{{name: skus, type: Array(Date), path: "{paths["skus"]}", format: "{form}"}}'
    more = f"          - {more}\n"
    file.write_text(text.replace("        sorting_key", f"{more}        sorting_key"))
    apply(file)
    columns = yaml.safe_load(exported(slug))["tenants"][0]["tables"][0]["columns"]
    assert {one["name"]: one["path"] for one in columns if "path" in one} == paths
    assert [one["format"] for one in columns if "format" in one] == [form]
    assert "Nothing to do" in apply(file)


def test_columns_of_metadata_are_applied_exported_and_checked(file: Path, slug: str) -> None:
    text = file.read_text()
    note = "name: note, type: Nullable(String)"
    file.write_text(text.replace(note, f"{note}, metadata: 'header:trace-id'"))
    apply(file)
    columns = yaml.safe_load(exported(slug))["tenants"][0]["tables"][0]["columns"]
    assert columns[3]["metadata"] == "header:trace-id"
    assert "Nothing to do" in apply(file)
    file.write_text(text.replace(note, f"{note}, metadata: header:Cookie"))
    said = refused(file)
    assert "The header Cookie holds a secret" in said


def test_computed_columns_are_applied_exported_and_checked(file: Path, slug: str) -> None:
    text, note = file.read_text(), "name: note, type: Nullable(String)"
    more = "{name: day, type: DateTime, expression: toStartOfDay(time)}"
    file.write_text(text.replace(f"{{{note}}}", f"{{{note}}}\n          - {more}"))
    apply(file)
    columns = yaml.safe_load(exported(slug))["tenants"][0]["tables"][0]["columns"]
    assert columns[4]["expression"] == "toStartOfDay(time)"
    assert "Nothing to do" in apply(file)
    file.write_text(file.read_text().replace("toStartOfDay(time)", "cityHash64(time)"))
    assert "It is UInt64, and not every such value fits DateTime" in refused(file)


def test_a_filter_is_applied_exported_checked_and_removed(file: Path, slug: str) -> None:
    text, plain = file.read_text(), "active: false, quarantine_limit: 20}"
    written = "active: false, filter: \"country = 'DE'\", quarantine_limit: 20}"
    file.write_text(text.replace(plain, written))
    apply(file)
    source = Source.objects.get(tenant__slug=slug, name="orders-http")
    version = source.table.versions.get(number=source.table.version)
    assert version.filters == [{"source": source.pk, "expression": "country = 'DE'"}]
    assert yaml.safe_load(exported(slug))["tenants"][0]["sources"][1]["filter"] == "country = 'DE'"
    assert "Nothing to do" in apply(file)
    for wrong, said in (("amount >", "is missing at its end"), ("country", "neither true nor")):
        file.write_text(text.replace(plain, written.replace("country = 'DE'", wrong)))
        assert f"acme.yaml:{text[: text.index(plain)].count(chr(10)) + 1}:" in refused(file)
        assert said in refused(file)
    gone = written.replace("'DE'", "'FR'")
    file.write_text(text.replace(plain, gone).replace("name: country", "name: land"))
    assert "There is no column 'country'" in refused(file)
    file.write_text(text)
    apply(file)
    source.table.refresh_from_db()
    assert source.table.versions.get(number=source.table.version).filters == []


def test_the_rule_for_unknown_fields_is_applied_and_exported(file: Path, slug: str) -> None:
    apply(file)
    assert "unknown_fields: count" in exported(slug)
    ttl = "        ttl: time"
    file.write_text(file.read_text().replace(ttl, f"        unknown_fields: ignore\n{ttl}"))
    apply(file)
    assert "unknown_fields: ignore" in exported(slug)
    assert "Nothing to do" in apply(file)
    file.write_text(file.read_text().replace("ignore", "keep"))
    assert "'keep' is not one of ['count', 'ignore']" in refused(file)


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
            "acme.yaml:12:9: 'colums' is not a known key here. Did you mean 'columns'?",
        ),
        ("kind: kafka", "kind: kafak", "acme.yaml:6:9: 'kafak' is not one of"),
        (
            "password: {env: ACME_PASSWORD}",
            "password: hunter2",
            "acme.yaml:9:9: A secret can't be written here",
        ),
        (
            "ACME_PASSWORD}",
            "NO_SUCH}",
            "acme.yaml:9:9: The environment variable NO_SUCH is not set. Set it and apply again.",
        ),
        ("type: DateTime64(3)}", "type: DateTim}", "acme.yaml:13:26: 'DateTim' is not a type"),
        ("time + INTERVAL", "tim + INTERVAL", "acme.yaml:18:9: There is no column 'tim'."),
        (
            "path: customer.country",
            'path: "customer[-1].country"',
            "acme.yaml:15:43: This path can't be read. Write the keys of objects",
        ),
        (
            "connection: broker",
            "connection: brokr",
            "acme.yaml:20:24: There is no connection 'brokr'",
        ),
        ("table: orders}", "table: order}", "There is no table 'order'. Known: orders."),
        ("name: Acme Inc.", "name: [", "acme.yaml:5:7: The file is not valid YAML"),
        ("name: Acme Inc.", "name: a\n    name: b", "acme.yaml:4:5: 'name' is given twice."),
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
    file.write_text(FILE.format(slug=slug))
    apply(file)
    assert SavedQuery.objects.get(tenant__slug=slug).is_published


# --- An archived source -------------------------------------------------------------------------


@pytest.fixture
def archived(file: Path, slug: str) -> Source:
    apply(file)
    source = Source.objects.get(tenant__slug=slug, name="orders")
    sources.archive(source)
    return source


RUNNING = "stream: orders, table: orders, active: true}"


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_file_resumes_no_archived_source_and_then_changes_nothing_else(
    dry_run: bool, archived: Source, file: Path, slug: str
) -> None:
    text = file.read_text().replace("stream: orders, table: orders}", RUNNING)
    file.write_text(text.replace("Acme Inc.", "Acme Ltd."))
    said = refused(file, dry_run=dry_run)
    assert f"acme.yaml:20:75: {slug}.orders is archived. Restore it first" in said
    assert f"manage.py restore {slug}.orders" in said
    assert "Nothing was changed." in said
    archived.refresh_from_db()
    assert (archived.is_archived, archived.active) == (True, False)
    assert Tenant.objects.get(slug=slug).name == "Acme Inc."
    assert not AuditEntry.objects.filter(action="tenant.change").exists()
    call_command("restore", str(archived), stdout=io.StringIO())
    assert "active: False → True" in apply(file, dry_run=dry_run)
    archived.refresh_from_db()
    assert (archived.is_archived, archived.active) == (False, not dry_run)


@pytest.mark.parametrize("active", ["", ", active: false"])
def test_a_file_that_does_not_resume_it_may_name_and_change_it(
    active: str, archived: Source, file: Path, slug: str
) -> None:
    written = "stream: orders, table: orders"
    text = file.read_text().replace(f"{written}}}", f"{written}{active}}}")
    file.write_text(text)
    assert "Nothing to do" in apply(file)
    file.write_text(text.replace(f"{written}{active}", f"{written}{active}, quarantine_limit: 7"))
    assert "quarantine_limit: 50 → 7" in apply(file)
    archived.refresh_from_db()
    assert (archived.is_archived, archived.active) == (True, False)
    assert archived.quarantine_limit == 7


def test_a_tenant_with_an_archived_source_is_exported_and_applied_without_a_change(
    archived: Source, slug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = tmp_path / "again.yaml"
    again.write_text(exported(slug))
    monkeypatch.setenv(f"{slug}_BROKER_PASSWORD".upper(), "s3cret")
    assert "Nothing to do" in apply(again)
    archived.refresh_from_db()
    assert archived.is_archived


def test_a_source_that_is_archived_while_a_file_is_applied_is_refused_too(
    archived: Source, file: Path, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources.restore(archived)
    resume = sources.resume

    def too_late(source: Source) -> None:
        sources.archive(Source.objects.get(pk=source.pk))
        resume(source)

    monkeypatch.setattr(sources, "resume", too_late)
    text = file.read_text().replace("stream: orders, table: orders}", RUNNING)
    file.write_text(text.replace("Acme Inc.", "Acme Ltd."))
    assert f"{slug}.orders is archived" in refused(file)
    assert Tenant.objects.get(slug=slug).name == "Acme Inc."


# --- All or nothing -----------------------------------------------------------------------------

BAD_QUERY = '      - {name: bad, sql: "SELECT sum(country) AS c FROM orders"}\n'
BAD_TABLE = """\
      - name: bad
        columns: [{name: n, type: UInt8}]
        ttl: n + 1
"""


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("part", "before", "says"),
    [
        (BAD_QUERY, None, "acme.yaml:29:21: ClickHouse refuses the query"),
        (BAD_TABLE, "    sources:\n", "ClickHouse refuses this table"),
    ],
)
def test_one_thing_that_clickhouse_refuses_takes_all_back(
    part: str, before: str | None, says: str, dry_run: bool, file: Path, slug: str
) -> None:
    text = file.read_text()
    file.write_text(text.replace(before, part + before) if before else text + part)
    said = refused(file, dry_run=dry_run)
    assert says in said
    assert "Nothing was changed." in said
    assert "millrace_rehearsal" not in said
    assert not Tenant.objects.filter(slug=slug).exists()
    assert standing(slug) == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT orders.nosuch FROM orders",
        "SELECT country FROM orders GROUP BY time",
        "SELECT amount FROM orders ARRAY JOIN note",
    ],
)
def test_the_stages_name_is_not_said(sql: str, file: Path, slug: str) -> None:
    query = f'      - {{name: bad, sql: "{sql}"}}\n'
    file.write_text(file.read_text() + query)
    said = refused(file)
    assert "acme.yaml:29:21: " in said
    assert "millrace_rehearsal" not in said


def test_a_query_that_names_its_database_is_told_to_leave_it_out(file: Path, slug: str) -> None:
    apply(file)
    text = file.read_text().replace("FROM orders\n", f"FROM t_{slug}.orders\n")
    file.write_text(text)
    apply(file)  # no table changes
    file.write_text(text.replace("ttl: time + INTERVAL 1 YEAR", "ttl: time + INTERVAL 2 YEAR"))
    assert f"acme.yaml:24:9: Leave out the database name t_{slug}: " in refused(file)


def test_a_change_that_clickhouse_refuses_changes_nothing_anywhere(file: Path, slug: str) -> None:
    apply(file)
    before, columns = exported(slug), standing(slug)
    text = file.read_text().replace("Acme Inc.", "Acme Ltd.")
    for old, new, says in (
        ('"Decimal(18, 2)"', "String", "acme.yaml:14:28: Column amount is Decimal(18, 2)"),
        ("country, type: String", 'country, type: "FixedString(1)"', "Column country is String"),
        ("sorting_key: [country, time]", "sorting_key: [time]", "acme.yaml:17:9: The sorting key"),
        ("SELECT country, sum(amount)", "SELECT country, nosuch(amount)", "nosuch"),
    ):
        file.write_text(text.replace(old, new))
        assert says in refused(file, dry_run=True)
        assert says in refused(file)
        assert (exported(slug), standing(slug)) == (before, columns)
    assert Table.objects.get(tenant__slug=slug).version == 1


def test_a_query_may_read_a_column_that_the_same_file_adds(file: Path, slug: str) -> None:
    apply(file)
    text = file.read_text().replace("SELECT country,", "SELECT country, max(size) AS size,")
    added = "          - {name: size, type: UInt8, default: 0}\n        sorting_key"
    file.write_text(text.replace("        sorting_key", added, 1))
    assert "endpoint" in apply(file, dry_run=True)
    assert "endpoint" in apply(file)
    tenant = Tenant.objects.get(slug=slug)
    published = SavedQuery.objects.get(tenant=tenant).published
    assert published is not None
    assert [one["name"] for one in published.columns] == ["country", "size", "amount"]
    assert client.rows(f"SELECT max(size) AS s FROM t_{slug}.orders") == [{"s": 0}]
    assert "Nothing to do" in apply(file)


def test_a_draft_beside_the_published_query_is_exported_as_one(
    file: Path, slug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that could not be published: the file of what answers stays good."""
    apply(file)
    query = SavedQuery.objects.get(tenant__slug=slug)
    answers, query.sql = query.sql, "SELECT nosuch(country) AS c FROM orders"
    query.parameters = {}
    query.save()
    (written,) = yaml.safe_load(exported(slug))["tenants"][0]["queries"]
    assert (written["sql"], written["published"]) == (answers, True)
    assert written["draft"] == {"sql": "SELECT nosuch(country) AS c FROM orders"}
    again = tmp_path / "again.yaml"
    again.write_text(exported(slug))
    monkeypatch.setenv(f"{slug}_BROKER_PASSWORD".upper(), "s3cret")
    assert "Nothing to do" in apply(again)
    again.write_text(again.read_text().replace("published: true", "published: false"))
    assert "An unpublished query is itself a draft" in refused(again)


def test_where_clickhouse_does_not_answer_nothing_is_changed(
    file: Path, slug: str, settings: Any
) -> None:
    address = settings.CLICKHOUSE_URL
    settings.CLICKHOUSE_URL = "http://127.0.0.1:9/"
    client.forget()
    try:
        assert "ClickHouse does not answer" in refused(file)
    finally:
        settings.CLICKHOUSE_URL = address
        client.forget()
    assert not Tenant.objects.filter(slug=slug).exists()


def test_a_stage_that_clickhouse_refuses_is_a_mistake_of_the_file(
    file: Path, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "PREFIX", "millrace_rehearsal_" + "x" * 300)  # too long a name
    said = refused(file)
    assert "ClickHouse refuses this: " in said
    assert "Nothing was changed." in said
    assert "xxx" not in said


def test_no_rehearsal_stays_behind(file: Path, slug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "PREFIX", f"millrace_rehearsal_{slug}_")
    apply(file)
    file.write_text(file.read_text() + BAD_QUERY)
    refused(file)
    sql = "SELECT name FROM system.databases WHERE name LIKE {like:String}"
    mine = {"like": f"millrace_rehearsal_{slug}_%"}
    assert client.rows(sql, mine) == []
    left, young = f"{rehearsal.PREFIX}1000_ab", f"{rehearsal.PREFIX}9999999999_ab"
    client.execute([f"CREATE DATABASE {left}", f"CREATE DATABASE {young}"])
    rehearsal.drop_left()
    assert client.rows(sql, mine) == [{"name": young}]
    client.execute([f"DROP DATABASE {young} SYNC"])


PARAMETERS = """\
      - name: strict
        sql: |
          SELECT *, {by:Identifier} AS by, toStartOfDay(time, {tz:String}) AS day FROM orders
          WHERE amount > {least:Decimal(18, 2)}
        parameters:
          by: {allowed: [country, note], default: country}
          tz: {example: Europe/Zurich}
          least: {default: 9007199254740993.11}
"""


def test_parameters_have_examples_names_and_all_their_digits(
    file: Path, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(file.read_text() + PARAMETERS)
    apply(file)
    query = SavedQuery.objects.select_related("published").get(tenant__slug=slug, name="strict")
    assert query.published is not None
    assert query.published.parameters == [
        {"name": "by", "type": "Identifier", "allowed": ["country", "note"], "default": "country"},
        {"name": "tz", "type": "String", "example": "Europe/Zurich"},
        {"name": "least", "type": "Decimal(18, 2)", "default": "9007199254740993.11"},
    ]
    names = [one["name"] for one in query.published.columns]
    assert names == ["time", "amount", "country", "note", "by", "day"]
    out = io.StringIO()
    call_command("export", slug, stdout=out)
    again = file.with_name("again.yaml")
    again.write_text(out.getvalue())
    monkeypatch.setenv(f"{slug}_BROKER_PASSWORD".upper(), "s3cret")
    assert "Nothing to do" in apply(again)
    query.refresh_from_db()
    assert query.published.number == 1


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("{example: Europe/Zurich}", "{}", "give an example"),
        ("{example: Europe/Zurich}", "{example: Mars/X}", "Mars/X"),
        ("[country, note]", "[country, nothing]", "nothing"),
        ("[country, note]", '["country, note"]', "Use a plain name"),
        ("{allowed: [country, note], default: country}", "{}", "needs the names"),
        ("{example: Europe/Zurich}", "{exmaple: UTC}", "Did you mean 'example'"),
    ],
)
def test_parameters_that_can_not_be_published_are_refused(
    before: str, after: str, message: str, file: Path, slug: str
) -> None:
    file.write_text(file.read_text() + PARAMETERS.replace(before, after))
    assert message in refused(file)
    assert not Tenant.objects.filter(slug=slug).exists()


def test_sources_are_paused_and_resumed_by_file(file: Path, slug: str) -> None:
    apply(file)
    file.write_text(file.read_text().replace("active: false", "active: true"))
    assert "active: False → True" in apply(file)
    assert Source.objects.get(tenant__slug=slug, name="orders-http").active


def test_a_sources_limit_is_applied_and_exported(file: Path, slug: str) -> None:
    apply(file)
    assert Source.objects.get(tenant__slug=slug, name="orders-http").quarantine_limit == 20
    out = io.StringIO()
    call_command("export", slug, stdout=out)
    assert "quarantine_limit: 20" in out.getvalue()
    assert "quarantine_limit: 50" in out.getvalue()


def test_a_tenants_weight_is_applied_and_exported(file: Path, slug: str) -> None:
    apply(file)
    assert Tenant.objects.get(slug=slug).weight == 1
    file.write_text(file.read_text().replace("name: Acme Inc.", "name: Acme Inc.\n    weight: 5"))
    assert "weight: 1 → 5" in apply(file)
    out = io.StringIO()
    call_command("export", slug, stdout=out)
    assert "weight: 5" in out.getvalue()
    file.write_text(file.read_text().replace("weight: 5", "weight: 0"))
    assert "acme.yaml:4:5: 0 is less than the minimum of 1" in refused(file)


def test_secrets_come_from_files_too(file: Path, slug: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from a file\n")
    file.write_text(file.read_text().replace("{env: ACME_PASSWORD}", "{file: password}"))
    apply(file)
    assert Connection.objects.get(tenant__slug=slug).password == "from a file"


# --- TLS and logins -----------------------------------------------------------------------------

SECURED = """\
        username: acme
        password: {env: ACME_PASSWORD}
        sasl_mechanism: OAUTHBEARER
        token_url: {env: TOKEN_URL, default: "https://idp/token"}
        tls: true
        ca_certificate: {file: ca.pem}
        client_certificate: {file: client.pem}
        client_key: {file: client.key}
"""


@pytest.fixture
def secured(file: Path) -> Path:
    """The same file with a connection by token and client certificate."""
    authority = Authority("CA")
    pair = authority.client("acme")
    (file.parent / "ca.pem").write_text(authority.certificate)
    (file.parent / "client.pem").write_text(pair.certificate)
    (file.parent / "client.key").write_text(pair.key)
    plain = "        username: acme\n        password: {env: ACME_PASSWORD}\n"
    file.write_text(file.read_text().replace(plain, SECURED))
    return file


def test_certificates_and_keys_come_from_files_and_no_key_is_told(
    secured: Path, slug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = apply(secured)
    assert "client_key: set" in said
    assert "PRIVATE KEY" not in said
    made = Connection.objects.get(tenant__slug=slug)
    assert (made.tls, made.sasl_mechanism) == (True, "OAUTHBEARER")
    key = (tmp_path / "client.key").read_text()
    assert made.client_key.strip() == key.strip()
    assert "Nothing to do" in apply(secured)

    out = io.StringIO()
    call_command("export", slug, stdout=out)
    assert "PRIVATE KEY" not in out.getvalue()
    assert made.client_certificate.splitlines()[1] in out.getvalue()
    again = tmp_path / "again.yaml"
    again.write_text(out.getvalue())
    monkeypatch.setenv(f"{slug}_BROKER_PASSWORD".upper(), "s3cret")
    monkeypatch.setenv(f"{slug}_BROKER_CLIENT_KEY".upper(), made.client_key)
    assert "Nothing to do" in apply(again)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("OAUTHBEARER", "PLAINE", "'PLAINE' is not one of"),
        ("client_key: {file: client.key}", "client_key: abc", "A secret can't be written here"),
        ("{file: ca.pem}", "{file: client.key}", "This contains a private key"),
        ("        client_key: {file: client.key}\n", "", "needs its key"),
        ("tls: true", "tls: maybe", "'maybe' is not of type 'boolean'"),
    ],
)
def test_a_mistake_in_a_login_is_said_with_its_line(
    old: str, new: str, says: str, secured: Path
) -> None:
    secured.write_text(secured.read_text().replace(old, new))
    assert says in refused(secured)
