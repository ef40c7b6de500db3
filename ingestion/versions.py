"""Versions of tables: what ClickHouse has applied, by which messages are typed.

A table's columns in Postgres are a wish. When ClickHouse has carried it out, the wish becomes a
version, and the version before is superseded. Batches that were announced for that one are still
typed by it, so its pipeline stays until none of them is open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Max
from django.db.models.functions import Now

from ingestion import ddl
from ingestion.ddl.spec import PIPELINE_FORM
from ingestion.errors import TableNotReady
from ingestion.models import BackfillChunk, Batch, BatchState, Table, TableVersion
from tenants.warehouse import client
from tenants.warehouse.errors import WarehouseError

#: A pipeline that is superseded stays for so long at the least: an announcement that began before
#: its successor was applied may end after it.
STAYS = timedelta(minutes=2)


def columns_of(table: Table, number: int | None = None) -> tuple[ddl.ColumnSpec, ...]:
    """The columns of a version, of the applied one by default.

    Raises TableNotReady where ClickHouse has applied none yet. A number of which nothing is known,
    from before there were versions, is taken for the applied one.
    """
    wanted = {table.version, table.version if number is None else number}
    found = {one.number: one for one in table.versions.filter(number__in=wanted)}
    version = found.get(table.version if number is None else number) or found.get(table.version)
    if version is None:
        why = f" ClickHouse says: {table.error}" if table.error else ""
        msg = (
            f"ClickHouse has not applied the columns of table {table.name} yet, so nothing is read "
            f"for it.{why} Its page says how it stands; reading goes on by itself afterwards."
        )
        raise TableNotReady(msg)
    return read(version)


def read(version: TableVersion) -> tuple[ddl.ColumnSpec, ...]:
    """Its columns as a specification has them."""
    return tuple(ddl.ColumnSpec(**one) for one in version.columns)


def next_number(table: Table, columns: tuple[ddl.ColumnSpec, ...]) -> tuple[int, bool]:
    """The number of the version that these columns are, and whether that is a new one."""
    current = table.versions.filter(number=table.version).first()
    if current and current.form == PIPELINE_FORM and read(current) == columns:
        return current.number, False
    last = table.versions.aggregate(last=Max("number"))["last"]
    # From before there were versions, a table that stands has the pipeline of the first one.
    return (last or (1 if table.applied else 0)) + 1, True


def note_applied(table: Table, number: int, columns: tuple[ddl.ColumnSpec, ...]) -> None:
    """From now on batches are announced for this version, and for no other."""
    with transaction.atomic():
        described = [asdict(one) for one in columns]
        TableVersion.across_tenants.get_or_create(
            table=table, number=number, defaults={"columns": described, "form": PIPELINE_FORM}
        )
        TableVersion.across_tenants.filter(table=table, number=number).update(dropped_at=None)
        Table.across_tenants.filter(pk=table.pk).update(version=number)
    table.version = number


def outdated() -> Iterator[Table]:
    """Tables whose applied version has a pipeline of an earlier form."""
    standing = TableVersion.across_tenants.filter(number=F("table__version"))
    old = standing.exclude(form=PIPELINE_FORM).filter(table__applied=F("table__generation"))
    yield from Table.across_tenants.filter(pk__in=old.values("table"))


# --- Superseded versions ------------------------------------------------------------------------


def superseded(table: Table) -> list[TableVersion]:
    """Versions with a pipeline that no batch needs any more."""
    long_since = table.versions.filter(number=table.version, applied_at__lt=Now() - STAYS)
    if not long_since.exists():
        return []
    standing = table.versions.filter(dropped_at=None, number__lt=table.version)
    return [one for one in standing if not _is_needed(one)]


def _is_needed(version: TableVersion) -> bool:
    batches = Batch.across_tenants.filter(
        partition__source__table=version.table_id,
        state=BatchState.INTENT,
        table_version=version.number,
    )
    chunks = BackfillChunk.across_tenants.filter(
        backfill__table=version.table_id, done_at=None, table_version=version.number
    )
    return batches.exists() or chunks.exists()


def may_type_into(table: Table, column: str) -> bool:
    """Whether a batch is open, or may yet be announced, for a version that has the column.

    Of a version whose pipeline was dropped nothing can be announced any more (``superseded``); a
    batch that names it all the same would be inserted past the views.
    """
    having = (one for one in table.versions.all() if column in {each.name for each in read(one)})
    return any(one.dropped_at is None or _is_needed(one) for one in having)


def drop_superseded(table: Table, spec: ddl.TableSpec) -> None:
    """Drop the pipelines that no batch needs any more; raises WarehouseError. Safe to repeat.

    None is ever made again: views that are made anew don't know the tokens of those before them. A
    batch that names a version without a pipeline is inserted past the views (``inbox.insert``).
    """
    for version in superseded(table):
        rows = TableVersion.across_tenants.filter(pk=version.pk)
        rows.update(dropped_at=Now())
        try:
            client.execute(ddl.drop_pipeline(ddl.at_version(spec, version.number, read(version))))
        except WarehouseError:
            rows.update(dropped_at=None)
            raise
