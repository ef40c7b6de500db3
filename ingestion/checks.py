"""System checks of stored data: settings that an earlier version accepted and this one refuses."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Tags, register
from django.core.checks import Warning as CheckWarning
from django.db import DatabaseError

from ingestion.ddl.paths import remark
from ingestion.models import Column, Table


@register(Tags.database)
def paths_that_read_nothing(**_: Any) -> list[CheckMessage]:
    """millrace.W004: a column with an unreadable path has its default in every row."""
    columns = Column.across_tenants.exclude(path="").select_related("table__tenant")
    try:
        wrong = [(column, reason) for column in columns if (reason := remark(column.path))]
    except DatabaseError:
        return []  # before the first migration
    return [
        CheckWarning(
            f"Column {column.name} of {column.table} reads nothing: its path is {column.path!r}.",
            hint=f"{reason} Correct the path; nothing changes until the table is saved again.",
            id="millrace.W004",
        )
        for column, reason in wrong
    ]


def remarks(table: Table) -> list[str]:
    """The same warnings for one table, for its page in the admin."""
    return [
        f"Column {column.name} reads nothing: its path is {column.path!r}. {reason}"
        for column in table.columns.all()
        if (reason := remark(column.path))
    ]
