"""Tables: asked for in the transaction that changes them, made in ClickHouse after it."""

from __future__ import annotations

from django.db import transaction
from django.db.models import ProtectedError

from ingestion import ddl
from ingestion.errors import IngestionError
from ingestion.models import Table
from ingestion.provision import remove_table, spec_of
from tenants.tasks import send


class TableInUse(IngestionError):
    """A table that sources feed can't be deleted."""


def request_table(table: Table) -> None:
    """Ask for the table to be made, or altered, to what its row and columns say now.

    Call it in the transaction that saves them; a task does it after the commit, and is repeated
    until it is done. What can be told at once is in ``ddl.check``.
    """
    with transaction.atomic():
        table.request()
        _queue(table.pk)


def retry_table(table: Table) -> None:
    """Ask again, at once, for a table that failed."""
    request_table(table)


def _queue(pk: int) -> None:
    from ingestion.tasks.provision import provision_table

    transaction.on_commit(lambda: send(provision_table, pk))


def check_table(table: Table, columns: tuple[ddl.ColumnSpec, ...] | None = None) -> None:
    """Raise ``ddl.SpecError`` with all that can be told to be wrong without the engine."""
    ddl.check(spec_of(table, columns))


def delete_table(table: Table) -> None:
    """Delete the table and its rows in ClickHouse.

    Raises TableInUse while sources feed it, and WarehouseError where ClickHouse could not do it;
    then the table stays.
    """
    spec = spec_of(table)
    with transaction.atomic():
        try:
            table.delete()
        except ProtectedError as error:
            names = ", ".join(sorted(str(one) for one in error.protected_objects))
            msg = f"{table} is fed by {names}. Delete these sources, or point them elsewhere."
            raise TableInUse(msg) from error
        if spec.database:
            remove_table(spec)
