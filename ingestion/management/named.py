"""Finds the objects that commands take by name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from ingestion.models import Connection, Source, Table


def named_source(text: str) -> Source:
    """The source that ``TENANT.SOURCE`` names; raises CommandError."""
    tenant, _, name = text.partition(".")
    source = (
        Source.objects.filter(tenant__slug=tenant, name=name)
        .select_related("tenant__warehouse", "table__tenant__warehouse", "connection__tenant")
        .first()
    )
    if source is None:
        msg = f"There is no source {text}. Write TENANT.SOURCE; `manage.py status` lists them all."
        raise CommandError(msg)
    return source


def named_table(text: str) -> Table:
    """The table that ``TENANT.TABLE`` names; raises CommandError."""
    tenant, _, name = text.partition(".")
    tables = Table.across_tenants.select_related("tenant__warehouse")
    table = tables.filter(tenant__slug=tenant, name=name).first()
    if table is None:
        known = ", ".join(map(str, tables.order_by("tenant__slug", "name")[:20])) or "none yet"
        msg = f"There is no table {text!r}. Write TENANT.TABLE. Tables: {known}."
        raise CommandError(msg)
    return table


def named_connection(text: str) -> Connection:
    """The connection that ``TENANT.NAME`` names, or ``NAME`` if it is shared.

    Raises CommandError.
    """
    tenant, _, name = text.rpartition(".")
    rows = Connection.across_tenants.select_related("tenant").order_by("tenant__slug", "name")
    connection = rows.filter(name=name, tenant__slug=tenant).first()
    if connection is None and tenant in {"", "shared"}:
        connection = rows.filter(name=name, tenant=None).first()
    if connection is None:
        known = ", ".join(map(str, rows[:20])) or "none yet"
        msg = (
            f"There is no connection {text!r}. Write TENANT.NAME, or NAME for a shared connection. "
            f"Connections: {known}."
        )
        raise CommandError(msg)
    return connection


#: The kinds of object that can be deleted and archived, and what finds one by its name.
_FINDERS: dict[str, Callable[[str], Source | Table | Connection]] = {
    "source": named_source,
    "table": named_table,
    "connection": named_connection,
}
KINDS = tuple(_FINDERS)


def named(kind: str, text: str) -> Source | Table | Connection:
    """The object of one of the ``KINDS`` that ``text`` names; raises CommandError."""
    return _FINDERS[kind](text)


def time_of(text: str) -> datetime | None:
    """Parse an ISO 8601 time, in UTC if it has no zone; None if empty. Raises CommandError."""
    if not text:
        return None
    try:
        time = parse_datetime(text)
    except ValueError as error:
        raise CommandError(f"{text}: {error}.") from error
    if time is None:
        raise CommandError(
            f"{text!r} is not a time. Write, for example, 2026-01-31T18:00:00+00:00."
        )
    return time if timezone.is_aware(time) else timezone.make_aware(time)
