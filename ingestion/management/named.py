"""What commands are told by name."""

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
    found = (
        Source.objects.filter(tenant__slug=tenant, name=name)
        .select_related("tenant__warehouse", "table__tenant__warehouse", "connection__tenant")
        .first()
    )
    if found is None:
        msg = f"There is no source {text}. Write TENANT.SOURCE; `manage.py status` lists them all."
        raise CommandError(msg)
    return found


def named_table(text: str) -> Table:
    """The table that ``TENANT.TABLE`` names; raises CommandError."""
    tenant, _, name = text.partition(".")
    tables = Table.across_tenants.select_related("tenant__warehouse")
    found = tables.filter(tenant__slug=tenant, name=name).first()
    if found is None:
        known = ", ".join(map(str, tables.order_by("tenant__slug", "name")[:20])) or "none yet"
        msg = f"There is no table {text!r}. Give TENANT.TABLE. There are: {known}."
        raise CommandError(msg)
    return found


def named_connection(text: str) -> Connection:
    """The connection that ``TENANT.NAME``, or ``NAME`` of a shared one, names."""
    tenant, _, name = text.rpartition(".")
    rows = Connection.across_tenants.select_related("tenant").order_by("tenant__slug", "name")
    one = rows.filter(name=name, tenant__slug=tenant).first()
    if one is None and tenant in {"", "shared"}:
        one = rows.filter(name=name, tenant=None).first()
    if one is None:
        known = ", ".join(map(str, rows[:20])) or "none yet"
        msg = (
            f"There is no connection {text!r}. Give TENANT.NAME, or of one that all tenants share "
            f"its NAME. There are: {known}."
        )
        raise CommandError(msg)
    return one


#: What can be deleted and archived, and who finds it by its name.
_FINDERS: dict[str, Callable[[str], Source | Table | Connection]] = {
    "source": named_source,
    "table": named_table,
    "connection": named_connection,
}
KINDS = tuple(_FINDERS)


def named(kind: str, text: str) -> Source | Table | Connection:
    """What ``text`` names among the objects of one of the ``KINDS``; raises CommandError."""
    return _FINDERS[kind](text)


def time_of(text: str) -> datetime | None:
    """A time in ISO 8601, in UTC without a zone; None for no text. Raises CommandError."""
    if not text:
        return None
    try:
        found = parse_datetime(text)
    except ValueError as error:
        raise CommandError(f"{text}: {error}.") from error
    if found is None:
        raise CommandError(f"{text!r} is no time. Write 2026-01-31T18:00:00+00:00.")
    return found if timezone.is_aware(found) else timezone.make_aware(found)
