"""Deletes entries that are older than the retention period; nothing else can delete entries."""

from __future__ import annotations

from datetime import datetime

from django.db import connection, transaction

from tenants.audit.entry import record

#: Makes the trigger allow deletions within the current transaction.
ALLOW = "SET LOCAL millrace.audit_may_shrink = 'on'"


def prune(before: datetime) -> int:
    """Delete entries from before that time, and record the deletion. Returns how many."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(ALLOW)
            cursor.execute("DELETE FROM tenants_auditentry WHERE at < %s", [before])
            count: int = cursor.rowcount
            cursor.execute("SET LOCAL millrace.audit_may_shrink = 'off'")
        record("audit.prune", None, tenant=None, detail={"before": before, "entries": count})
    return count
