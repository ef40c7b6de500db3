"""Tables: asked for in the transaction that changes them, made in ClickHouse after it."""

from __future__ import annotations

from dataclasses import asdict, replace

from django.db import transaction
from django.db.models import ProtectedError

from ingestion import ddl, rehearsal, versions
from ingestion.errors import IngestionError
from ingestion.models import Column, Table
from ingestion.provision import existing, held, remove_table, spec_of
from tenants.task_queue import send


class TableInUse(IngestionError):
    """A table that sources feed can't be deleted."""


def request_table(table: Table) -> None:
    """Ask for the table to be made, or altered, to what its row and columns say now.

    Call it in the transaction that saves them; a task does it after the commit, and is repeated
    until it is done. ``check_table`` says before it what can't be done.
    """
    with transaction.atomic():
        table.request()
        _queue(table.pk)


def retry_table(table: Table) -> None:
    """Ask again, at once, for a table that failed."""
    request_table(table)


def _queue(pk: int) -> None:

    transaction.on_commit(lambda: send("ingestion.tasks.provision_table", pk))


def check_columns(columns: tuple[ddl.ColumnSpec, ...]) -> None:
    """Raise ``ddl.SpecError`` with all that can be told of columns by themselves."""
    ddl.check(ddl.TableSpec("", "", columns))


def check_table(table: Table, columns: tuple[ddl.ColumnSpec, ...] | None = None) -> None:
    """Raise ``ddl.SpecError`` with all that is wrong with the description.

    ClickHouse is asked, too: what passes can be made. Call it before saving, within the transaction
    that saves: of two changes at a time the second is held against the first. ``columns`` stand for
    those that are not saved yet. Raises WarehouseError where ClickHouse does not answer.
    """
    spec = spec_of(table, columns)
    ddl.check(spec)
    with rehearsal.stage() as database:
        rehearse_table(table, spec, database)


def rehearse_table(table: Table, spec: ddl.TableSpec, database: str) -> None:
    """Hold a description against what stands, then make it in ``database``, an empty one.

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
    """Problems with a change that was saved and is not applied yet; locks the table's row."""
    rows = Table.across_tenants.select_for_update(no_key=True)
    saved = rows.filter(pk=table.pk).first()
    if saved is None or saved.error or saved.applied == saved.generation or stands is None:
        return []
    wished = {one.name: one.type for one in spec_of(saved).columns}
    return ddl.refusals(spec, replace(stands, columns={**stands.columns, **wished}))


def take_back(table: Table) -> None:
    """Wish for what ClickHouse has applied, in place of what it refuses.

    A column that it has widened already stays wide. Raises TableNotReady where it has applied
    nothing, and WarehouseError.
    """
    stands = existing(spec_of(table))
    types = stands.columns if stands else {}
    applied = [_as_wide(one, types.get(one.name)) for one in versions.columns_of(table)]
    with transaction.atomic():
        table.columns.all().delete()
        Column.objects.bulk_create(
            Column(table=table, position=place, **asdict(one)) for place, one in enumerate(applied)
        )
        request_table(table)


def _as_wide(column: ddl.ColumnSpec, stands: str | None) -> ddl.ColumnSpec:
    if stands is None or not ddl.is_wider(column.type, stands):
        return column
    return replace(column, type=stands)


def delete_table(table: Table) -> None:
    """Delete the table and its rows in ClickHouse.

    Raises TableInUse while sources feed it, TableBusy while another process alters it, and
    WarehouseError where ClickHouse could not do it; then the table stays.
    """
    spec = spec_of(table)
    numbers = set(table.versions.values_list("number", flat=True))
    with held(table), transaction.atomic():
        try:
            table.delete()
        except ProtectedError as error:
            names = ", ".join(sorted(str(one) for one in error.protected_objects))
            msg = f"{table} is fed by {names}. Delete these sources, or point them elsewhere."
            raise TableInUse(msg) from error
        if spec.database:
            remove_table(spec, numbers)
