"""The one way in which entries go: those that are older than must be kept."""

from __future__ import annotations

from datetime import datetime

from django.db import connection, transaction

from tenants.audit.entry import record

#: Lets the trigger pass, within the transaction that says so.
ALLOW = "SET LOCAL millrace.audit_may_shrink = 'on'"


def prune(before: datetime) -> int:
    """Delete what was recorded before that time; how much that was. It is itself recorded."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(ALLOW)
            cursor.execute("DELETE FROM tenants_auditentry WHERE at < %s", [before])
            count: int = cursor.rowcount
            cursor.execute("SET LOCAL millrace.audit_may_shrink = 'off'")
        record("audit.prune", None, tenant=None, detail={"before": before, "entries": count})
    return count
