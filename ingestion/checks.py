"""System checks of what is stored: what a former version took, and this one would refuse."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Tags, register
from django.core.checks import Warning as CheckWarning
from django.db import DatabaseError

from ingestion.ddl.paths import unreadable
from ingestion.models import Column, Table


@register(Tags.database)
def paths_that_read_nothing(**_: Any) -> list[CheckMessage]:
    """Millrace.W004: a column whose path can't be read has its default in every row."""
    columns = Column.across_tenants.exclude(path="").select_related("table__tenant")
    try:
        found = [(one, reason) for one in columns if (reason := unreadable(one.path))]
    except DatabaseError:
        return []  # before the first migration
    return [
        CheckWarning(
            f"Column {one.name} of {one.table} reads nothing: its path is {one.path!r}.",
            hint=f"{reason} The column goes on as it is until its table is saved the next time.",
            id="millrace.W004",
        )
        for one, reason in found
    ]


def remarks(table: Table) -> list[str]:
    """The same of one table, for its page."""
    return [
        f"Column {one.name} reads nothing, as its path is {one.path!r}. {reason}"
        for one in table.columns.all()
        if (reason := unreadable(one.path))
    ]
