"""Versions of tables: the columns that ClickHouse has applied, by which messages are typed.

A table's columns in Postgres are what its owner wants. Once ClickHouse has applied them, they
become a version, which supersedes the one before. Batches announced for the superseded version are
still typed by it, so its pipeline stays until none of them is open.
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
from ingestion.models import BackfillChunk, Batch, BatchState, QuarantineChunk, Table, TableVersion
from tenants.warehouse import client
from tenants.warehouse.errors import WarehouseError

#: How long a superseded pipeline stays at least: the announcement of a batch that began before the
#: successor was applied may end after it.
STAYS = timedelta(minutes=2)


def columns_of(table: Table, number: int | None = None) -> tuple[ddl.ColumnSpec, ...]:
    """The columns of a version, as ``version_of`` chooses it. Raises TableNotReady."""
    return read(version_of(table, number))


def version_of(table: Table, number: int | None = None) -> TableVersion:
    """A version of the table, by default the applied one.

    An unknown number stands for the applied version: it comes from a batch that is older than
    table versions. Raises TableNotReady if ClickHouse has applied none yet.
    """
    numbers = {table.version, table.version if number is None else number}
    by_number = {row.number: row for row in table.versions.filter(number__in=numbers)}
    version = by_number.get(table.version if number is None else number)
    version = version or by_number.get(table.version)
    if version is None:
        why = f" ClickHouse says: {table.error}" if table.error else ""
        msg = (
            f"ClickHouse has not applied the columns of table {table.name} yet, so nothing is read "
            f"into it.{why} See the table's page for its state. Reading resumes by itself once the "
            "columns are applied."
        )
        raise TableNotReady(msg)
    return version


def read(version: TableVersion) -> tuple[ddl.ColumnSpec, ...]:
    """The columns of a version as column specifications."""
    return tuple(ddl.ColumnSpec(**column) for column in version.columns)


def filters_in(version: TableVersion) -> tuple[ddl.SourceFilter, ...]:
    """The filters of a version, by source."""
    return tuple(ddl.SourceFilter(one["source"], one["expression"]) for one in version.filters)


def next_number(
    table: Table,
    columns: tuple[ddl.ColumnSpec, ...],
    filters: tuple[ddl.SourceFilter, ...] = (),
) -> tuple[int, bool]:
    """The number of the version with these columns and filters, and whether it is a new one."""
    current = table.versions.filter(number=table.version).first()
    is_same = current and (read(current), filters_in(current)) == (columns, filters)
    if current and current.form == PIPELINE_FORM and is_same:
        return current.number, False
    last = table.versions.aggregate(last=Max("number"))["last"]
    # A table created before versions existed has the pipeline of version 1.
    return (last or (1 if table.applied else 0)) + 1, True


def note_applied(
    table: Table,
    number: int,
    columns: tuple[ddl.ColumnSpec, ...],
    filters: tuple[ddl.SourceFilter, ...] = (),
) -> None:
    """Record that ClickHouse has applied the version: new batches are announced for it alone."""
    with transaction.atomic():
        described = [asdict(column) for column in columns]
        filtering = [{"source": one.source, "expression": one.expression} for one in filters]
        TableVersion.across_tenants.get_or_create(
            table=table,
            number=number,
            defaults={"columns": described, "filters": filtering, "form": PIPELINE_FORM},
        )
        TableVersion.across_tenants.filter(table=table, number=number).update(dropped_at=None)
        # Together: whoever reads the version then also looks up what its filters leave out.
        changed: dict[str, object] = {"version": number}
        if filters:
            changed["has_filtered"] = table.has_filtered = True
        Table.across_tenants.filter(pk=table.pk).update(**changed)
    table.version = number


def outdated() -> Iterator[Table]:
    """Tables whose applied version has a pipeline of an older PIPELINE_FORM."""
    standing = TableVersion.across_tenants.filter(number=F("table__version"))
    old = standing.exclude(form=PIPELINE_FORM).filter(table__applied=F("table__generation"))
    yield from Table.across_tenants.filter(pk__in=old.values("table"))


# --- Superseded versions ------------------------------------------------------------------------


def superseded(table: Table) -> list[TableVersion]:
    """Superseded versions whose pipeline still exists and that no batch needs any more."""
    long_since = table.versions.filter(number=table.version, applied_at__lt=Now() - STAYS)
    if not long_since.exists():
        return []
    standing = table.versions.filter(dropped_at=None, number__lt=table.version)
    return [version for version in standing if not _is_needed(version)]


def _is_needed(version: TableVersion) -> bool:
    batches = Batch.across_tenants.filter(
        partition__source__table=version.table_id,
        state=BatchState.INTENT,
        table_version=version.number,
    )
    chunks = BackfillChunk.across_tenants.filter(
        backfill__table=version.table_id, done_at=None, table_version=version.number
    )
    replayed = QuarantineChunk.across_tenants.filter(
        run__table=version.table_id, landed_at=None, table_version=version.number
    )
    return batches.exists() or chunks.exists() or replayed.exists()


def may_type_into(table: Table, column: str) -> bool:
    """Whether a batch is open, or may still be announced, for a version with the column.

    Nothing can be announced for a version whose pipeline was dropped (``superseded``). A batch
    that names such a version all the same would be inserted past the views.
    """
    having = (
        version
        for version in table.versions.all()
        if column in {spec.name for spec in read(version)}
    )
    return any(version.dropped_at is None or _is_needed(version) for version in having)


def drop_superseded(table: Table, spec: ddl.TableSpec) -> None:
    """Drop the pipelines that no batch needs any more; raises WarehouseError. Safe to repeat.

    A dropped pipeline is never created again: new views would not know the deduplication tokens of
    the old ones. A batch that names a version without a pipeline is inserted past the views
    (``inbox.insert``).
    """
    for version in superseded(table):
        rows = TableVersion.across_tenants.filter(pk=version.pk)
        rows.update(dropped_at=Now())
        try:
            client.execute(ddl.drop_pipeline(ddl.at_version(spec, version.number, read(version))))
        except WarehouseError:
            rows.update(dropped_at=None)
            raise
