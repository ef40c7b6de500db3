"""Checks tables, requests their creation in ClickHouse, reverts and deletes them.

A table is requested in the transaction that changes it, and created or altered after the commit.
"""

from __future__ import annotations

from dataclasses import asdict, replace

from django.db import transaction
from django.db.models import ProtectedError

from ingestion import ddl, rehearsal, versions
from ingestion.errors import IngestionError
from ingestion.models import Column, Table, UnknownFieldRule, UnknownFields
from ingestion.provision import existing, held, remove_table, spec_of
from tenants.task_queue import send


class TableInUse(IngestionError):
    """A table that sources feed can't be deleted."""


def request_table(table: Table) -> None:
    """Request that ClickHouse creates or alters the table to match its row and columns.

    Call it in the transaction that saves them. After the commit a task does the work, and is
    repeated until it succeeds. Call ``check_table`` first to find out what can't be done.
    """
    with transaction.atomic():
        table.request()
        if table.unknown_fields == UnknownFieldRule.IGNORE:
            UnknownFields.across_tenants.filter(table=table).delete()
        _queue(table.pk)


def retry_table(table: Table) -> None:
    """Request a failed table again, without delay."""
    request_table(table)


def _queue(pk: int) -> None:
    transaction.on_commit(lambda: send("ingestion.tasks.provision_table", pk))


def check_columns(columns: tuple[ddl.ColumnSpec, ...]) -> None:
    """Raise ``ddl.SpecError`` with all problems that can be found from the columns alone."""
    ddl.check(ddl.TableSpec("", "", columns))


def check_table(table: Table, columns: tuple[ddl.ColumnSpec, ...] | None = None) -> None:
    """Raise ``ddl.SpecError`` with all problems of the description.

    ClickHouse checks it too, so a description that passes can be created. Call this before saving
    but within the transaction that saves: of two concurrent changes, the second is then checked
    against the first. ``columns`` replaces the saved columns. Raises WarehouseError if ClickHouse
    does not answer.
    """
    spec = spec_of(table, columns)
    ddl.check(spec)
    with rehearsal.stage() as database:
        rehearse_table(table, spec, database)


def check_filter(table: Table, name: str, expression: str) -> None:
    """Raise ``ddl.SpecError`` if the expression can't be a filter of the table's source ``name``.

    ClickHouse checks it too. Raises WarehouseError if it does not answer.
    """
    spec = spec_of(table, filters=(ddl.SourceFilter(0, expression, name),))
    rehearsal.check_filters(spec)


def rehearse_table(table: Table, spec: ddl.TableSpec, database: str) -> None:
    """Check a description against the existing table, then create it in the empty ``database``.

    Raises ``ddl.SpecError`` and WarehouseError.
    """
    stands = existing(spec) if spec.database else None
    problems = [] if stands is None else ddl.refusals(spec, stands)
    if table.pk is not None:
        problems += _against_wish(table, spec, stands)
    if problems:
        raise ddl.SpecError(list(dict.fromkeys(problems)))
    rehearsal.rehearse(spec, stands, database)


def _against_wish(
    table: Table, spec: ddl.TableSpec, stands: ddl.Existing | None
) -> list[ddl.SpecProblem]:
    """Problems with a change that is saved but not applied yet; locks the table's row."""
    rows = Table.across_tenants.select_for_update(no_key=True)
    saved = rows.filter(pk=table.pk).first()
    if saved is None or saved.error or saved.applied == saved.generation or stands is None:
        return []
    wished = {column.name: column.type for column in spec_of(saved).columns}
    return ddl.refusals(spec, replace(stands, columns={**stands.columns, **wished}))


def take_back(table: Table) -> None:
    """Revert the table's columns to what ClickHouse has applied, and request that.

    A column that ClickHouse has already widened stays wide. Raises TableNotReady if ClickHouse has
    applied nothing, and WarehouseError.
    """
    stands = existing(spec_of(table))
    types = stands.columns if stands else {}
    applied = [_as_wide(column, types.get(column.name)) for column in versions.columns_of(table)]
    with transaction.atomic():
        table.columns.all().delete()
        Column.objects.bulk_create(
            Column(table=table, position=place, **asdict(column))
            for place, column in enumerate(applied)
        )
        request_table(table)


def _as_wide(column: ddl.ColumnSpec, stands: str | None) -> ddl.ColumnSpec:
    if stands is None or not ddl.is_wider(column.type, stands):
        return column
    return replace(column, type=stands)


def delete_table(table: Table) -> None:
    """Delete the table and its rows in ClickHouse.

    Raises TableInUse while sources feed it, TableBusy while another process alters it, and
    WarehouseError if ClickHouse could not delete it; then the table stays.
    """
    spec = spec_of(table)
    numbers = set(table.versions.values_list("number", flat=True))
    with held(table), transaction.atomic():
        try:
            table.delete()
        except ProtectedError as error:
            names = ", ".join(sorted(str(source) for source in error.protected_objects))
            msg = f"{names} still feed {table}. Delete these sources, or choose another table."
            raise TableInUse(msg) from error
        if spec.database:
            remove_table(spec, numbers)
