"""Creates or changes the objects of each kind to match their part of a file.

Each function gets an object's part of the file and returns the changes. All of them run in the
single transaction of ``apply``.
"""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model

from analytics_api.models import SavedQuery
from ingestion import ddl
from ingestion.ddl.types import UnknownType, parse
from ingestion.models import Column, Connection, Source, Table
from ingestion.services import sources, tables
from millrace.configuration.changes import Change, difference
from millrace.configuration.part import Part
from tenants.models import Tenant
from tenants.services.warehouses import create_warehouse
from tenants.warehouse.errors import WarehouseUnreachable

NOT_CHECKED = "ClickHouse does not answer, so this can't be checked. Nothing was changed."


def tenant(part: Part) -> tuple[Tenant, list[Change]]:
    slug = part["slug"]
    row = Tenant.objects.filter(slug=slug).first() or Tenant(slug=slug, name=slug)
    desired = part.only("name", "status", "weight")
    changes = _save(part, row, "tenant", slug, desired)
    create_warehouse(row)
    return row, changes


#: Fields of a connection whose values may be references.
_RESOLVED = (
    *("addresses", "username", "password", "token_url", "token_scope"),
    *("ca_certificate", "client_certificate", "client_key"),
)


def connection(part: Part, owner: Tenant | None) -> list[Change]:
    name = part["name"]
    row = Connection.objects.filter(tenant=owner, name=name).first()
    row = row or Connection(tenant=owner, name=name)
    desired = part.only("kind", "options", "tls", "sasl_mechanism")
    for field in _RESOLVED:
        if field in part:
            desired[field] = part.resolved(field)
    shown = f"{owner.slug}.{name}" if owner else f"{name} (shared)"
    return _save(part, row, "connection", shown, desired)


def table(part: Part, owner: Tenant) -> list[Change]:
    name = part["name"]
    row = Table.objects.filter(tenant=owner, name=name).first() or Table(tenant=owner, name=name)
    desired = {
        "sorting_key": list(part.get("sorting_key", [])),
        "partition_key": part.get("partition_key", ""),
        "ttl": part.get("ttl", ""),
        "quarantine_days": part.get("quarantine_days", 30),
        **part.only("unknown_fields"),
    }
    columns = [_column(inner) for inner in part.parts("columns")]
    _check_table(part, owner, row, desired, columns)
    before = [] if row.pk is None else [_written(column) for column in row.columns.all()]
    after = [_written(column) for column in columns]
    changes = _save(part, row, "table", f"{owner.slug}.{name}", desired)
    if before != after:
        row.columns.all().delete()
        for position, column in enumerate(columns):
            column.table, column.position = row, position
        Column.objects.bulk_create(columns)
        changes = _with_columns(changes, row, before, after)
    if changes:
        tables.request_table(row)
    return changes


def _column(part: Part) -> Column:
    """The column, by default required unless it has a default value or is Nullable."""
    kind = str(part["type"])
    default = json.dumps(part["default"], ensure_ascii=False) if "default" in part else None
    return Column(
        name=part["name"],
        type=kind,
        path=part.get("path", ""),
        required=part.get("required", default is None and not is_nullable(kind)),
        default=default,
        quoted_numbers=part.get("quoted_numbers", False),
        format=part.get("format", ""),
        metadata=part.get("metadata", ""),
        expression=part.get("expression", ""),
    )


def is_nullable(kind: str) -> bool:
    try:
        return parse(kind).is_nullable
    except UnknownType:
        return False


def _written(column: Column) -> str:
    """The column as one line of text, to compare and to show."""
    parts = [column.name, column.type]
    if column.path:
        parts.append(f"at {column.path}")
    if column.metadata:
        parts.append(f"from {column.metadata}")
    if column.expression:
        parts.append(f"as {column.expression}")
    if not column.required:
        parts.append("optional")
    if column.default is not None:
        parts.append(f"default {column.default}")
    if column.quoted_numbers:
        parts.append("quoted numbers")
    if column.format:
        parts.append(f"format {column.format}")
    return " ".join(parts)


def _with_columns(
    changes: list[Change], row: Table, before: list[str], after: list[str]
) -> list[Change]:
    old = changes[0] if changes else Change("table", str(row), is_new=False)
    removed = [text for text in before if text not in after]
    added = [text for text in after if text not in before]
    columns = (
        "; ".join(removed) or None,
        "; ".join(added) or ("removed" if removed else "reordered"),
    )
    return [Change(old.kind, old.name, old.is_new, {**old.fields, "columns": columns}, row)]


def _check_table(
    part: Part, owner: Tenant, row: Table, desired: dict[str, Any], columns: list[Column]
) -> None:
    spec = ddl.TableSpec(
        database=f"t_{owner.slug}",
        name=row.name,
        columns=tuple(
            ddl.ColumnSpec(
                *(c.name, c.type, c.path, c.required, c.default, c.quoted_numbers),
                *(c.format, c.metadata, c.expression),
            )
            for c in columns
        ),
        sorting_key=tuple(desired["sorting_key"]),
        partition_key=desired["partition_key"],
        ttl=desired["ttl"],
        quarantine_days=desired["quarantine_days"],
    )
    try:
        ddl.check(spec)
    except ddl.SpecError as error:
        note_problems(part, error)


def note_problems(part: Part, error: ddl.SpecError) -> None:
    """Note each problem of a table as a mistake at the position of its column and field."""
    names = [inner["name"] for inner in part.parts("columns")]
    for problem in error.problems:
        where = ("columns", names.index(problem.column)) if problem.column in names else ()
        part.mistake((*where, problem.field), problem.message)


def source(part: Part, owner: Tenant) -> list[Change]:
    name = part["name"]
    row = Source.objects.filter(tenant=owner, name=name).first() or Source(tenant=owner, name=name)
    desired: dict[str, Any] = {
        "table": _referenced(part, "table", Table.objects.filter(tenant=owner)),
        "connection": _connection_of(part, owner),
        "stream": part.get("stream", ""),
        "filter": part.get("filter", ""),
        **part.only("start", "quarantine_limit"),
    }
    if "active" in part and row.pk is None:
        desired["active"] = part["active"]
    if desired["table"] is None or ("connection" in part and desired["connection"] is None):
        return []
    before = row.filter, row.table_id
    changes = _save(part, row, "source", f"{owner.slug}.{name}", desired)
    if (row.filter, row.table_id) != before and not _has_wrong_filter(part, row):
        sources.request_filter(row, *before)
    if row.pk and "active" in part and row.active != part["active"]:
        try:
            (sources.resume if part["active"] else sources.pause)(row)
        except sources.Archived as error:
            part.mistake(("active",), str(error))
            return []
        change = {"active": (not part["active"], part["active"])}
        changes.append(Change("source", f"{owner.slug}.{name}", False, change, row))
    return changes


def _has_wrong_filter(part: Part, row: Source) -> bool:
    """Whether the filter is wrong, with a mistake noted at its position."""
    try:
        sources.check_filter(row)
    except ddl.SpecError as error:
        part.mistake(("filter",), " ".join(problem.message for problem in error.problems))
        return True
    except WarehouseUnreachable:
        part.mistake(("filter",), NOT_CHECKED)
        return True
    return False


def _connection_of(part: Part, owner: Tenant) -> Connection | None:
    """The tenant's connection of that name, else the shared one."""
    if "connection" not in part:
        return None
    name = part["connection"]
    rows = Connection.across_tenants.filter(name=name)
    row = rows.filter(tenant=owner).first() or rows.filter(tenant=None).first()
    if row is None:
        part.mistake(
            ("connection",),
            f"There is no connection {name!r}, neither of {owner.slug} nor a shared one.",
        )
    return row


def _referenced(part: Part, field: str, among: Any) -> Any:
    """The row of ``among`` that ``field`` names; None, with a mistake noted, if there is none."""
    row = among.filter(name=part[field]).first()
    if row is None:
        known = ", ".join(among.values_list("name", flat=True)) or "none yet"
        part.mistake((field,), f"There is no {field} {part[field]!r}. Known: {known}.")
    return row


def query(part: Part, owner: Tenant) -> list[Change]:
    """Save the query's editable fields: its draft if the file has one, else what is published."""
    name = part["name"]
    row = SavedQuery.objects.filter(tenant=owner, name=name).first()
    row = row or SavedQuery(tenant=owner, name=name)
    if "draft" in part and not part.get("published", True):
        part.mistake(
            ("draft",),
            "An unpublished query is itself a draft. Remove draft, and write its SQL under sql.",
        )
    edited = part.get("draft", part.values)
    desired = {
        "description": part.get("description", "").strip(),
        "sql": edited["sql"].strip(),
        "parameters": edited.get("parameters", {}),
    }
    return _save(part, row, "query", f"{owner.slug}.{name}", desired)


# --- Shared by all kinds ------------------------------------------------------------------------


def _save(part: Part, row: Model, kind: str, name: str, desired: dict[str, Any]) -> list[Change]:
    """Set the fields and save if anything differs; note mistakes at their position in the file."""
    is_new = row.pk is None
    fields = difference(
        {} if is_new else {field: getattr(row, field) for field in desired}, desired
    )
    if not is_new and not fields:
        return []
    for field, value in desired.items():
        setattr(row, field, value)
    try:
        row.full_clean()
    except ValidationError as error:
        for field, messages in error.message_dict.items():
            part.mistake((field,), " ".join(messages))
        return []
    row.save()
    if is_new:
        fields = {
            field: pair for field, pair in fields.items() if pair[1] not in ("", None, [], {})
        }
    return [Change(kind, name, is_new, fields, row)]
