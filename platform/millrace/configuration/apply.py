"""Applies configuration files, all or nothing, after asking ClickHouse whether it accepts them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from django.db import transaction

from ingestion.models import Table
from ingestion.provision import provision_table
from millrace.configuration import objects
from millrace.configuration.changes import Change
from millrace.configuration.document import Document, read
from millrace.configuration.errors import ConfigurationError, Mistake, NotYetMade
from millrace.configuration.part import Part
from millrace.configuration.rehearse import rehearse_all
from tenants.audit import record
from tenants.models import Tenant, Warehouse
from tenants.provisioning.warehouse import provision
from tenants.scoping import across_tenants

#: Seconds to wait for another process that is working on the same table.
PATIENCE = 30.0

Tell = Callable[[Change], None]


def apply(paths: Sequence[Path], tell: Tell, *, dry_run: bool = False) -> int:
    """Change the database to match the files; returns the number of changes.

    ``tell`` is called with each change. With ``dry_run`` everything is checked and nothing changed.

    Raises ConfigurationError if nothing was changed: ClickHouse checks everything before anything
    is saved. Raises NotYetMade if everything is saved and published, but ClickHouse went away
    before it had created all tables; the reconciler creates them later.
    """
    documents = _read_all(paths)
    with across_tenants(), transaction.atomic():
        mistakes: list[Mistake] = []
        changes = [change for document in documents for change in _rows(document, mistakes)]
        if not mistakes:
            changes += rehearse_all(documents, mistakes)
        if mistakes:
            raise ConfigurationError(mistakes)
        for change in changes:
            tell(change)
            _record(change)
        if dry_run:
            transaction.set_rollback(True)
            return len(changes)
    if waiting := list(_provision(documents)):
        raise NotYetMade(waiting)
    return len(changes)


def _record(change: Change) -> None:
    """Write a change to the audit log: the names of the changed fields, not their values."""
    owner = change.row if isinstance(change.row, Tenant) else getattr(change.row, "tenant", None)
    action = f"{change.kind}.{'create' if change.is_new else 'change'}"
    record(action, change.row, tenant=owner, detail={"changed": sorted(change.fields)})


def _read_all(paths: Sequence[Path]) -> list[Document]:
    documents: list[Document] = []
    mistakes: list[Mistake] = []
    for path in paths:
        try:
            documents.append(read(path))
        except ConfigurationError as error:
            mistakes += error.mistakes
    if mistakes:
        raise ConfigurationError(mistakes)
    return documents


def _rows(document: Document, mistakes: list[Mistake]) -> Iterator[Change]:
    root = Part(document, (), document.content, mistakes)
    for part in root.parts("connections"):
        yield from objects.connection(part, None)
    for part in root.parts("tenants"):
        yield from _tenant_rows(part)


def _tenant_rows(part: Part) -> Iterator[Change]:
    owner, changes = objects.tenant(part)
    yield from changes
    if owner.pk is None:
        return
    for key, bring in (
        ("connections", objects.connection),
        ("tables", objects.table),
        ("sources", objects.source),
        ("queries", objects.query),
    ):
        for inner in part.parts(key):
            yield from bring(inner, owner)


# --- After the transaction ----------------------------------------------------------------------


def _tenants(documents: Sequence[Document]) -> Iterator[Part]:
    for document in documents:
        yield from Part(document, (), document.content, []).parts("tenants")


def _provision(documents: Sequence[Document]) -> Iterator[Mistake]:
    """Create warehouses and tables in this process, so that no worker needs to run."""
    for part in _tenants(documents):
        warehouse = Warehouse.objects.get(tenant__slug=part["slug"])
        if warehouse.applied != warehouse.generation:
            provision(warehouse)
        if warehouse.error:
            yield Mistake(part.document.place(part.path), warehouse.error)
            continue
        for inner, name in _named_tables(part):
            table = Table.objects.get(tenant__slug=part["slug"], name=name)
            error = _provision_table(table)
            if error:
                yield Mistake(inner.document.place(inner.path), error)


def _named_tables(part: Part) -> Iterator[tuple[Part, str]]:
    """The tables of a tenant's part, and those that only its sources name: for their filters."""
    named = {inner["name"]: inner for inner in part.parts("tables")}
    for inner in part.parts("sources"):
        named.setdefault(inner["table"], inner)
    yield from ((inner, name) for name, inner in named.items())


def _provision_table(table: Table) -> str:
    """Bring the table to its requested generation; returns the error, '' if there is none."""
    until = time.monotonic() + PATIENCE
    while table.applied != table.generation:
        before = table.attempts
        provision_table(table)
        table.refresh_from_db()
        if table.attempts > before or (table.error and table.applied != table.generation):
            return table.error
        if time.monotonic() > until:
            return "Another process is still working on this table. Run apply again later."
        time.sleep(0.1)
    return ""
