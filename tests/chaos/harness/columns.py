"""Edits of a table's columns while messages flow: good ones, refused ones, and forced ones.

``edit`` runs in a process of the installation, as an operator's would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingestion.models import Table
    from tests.chaos.harness.grounds import Grounds

#: A column that no message has a value for.
_EXTRA = "extra"


def edit_columns(grounds: Grounds, table: str, seed: int, kind: str = "") -> str:
    """Edit a table's columns; returns which edit it was, and fails if Millrace judges it wrongly.

    Every edit is a process of its own.
    """
    code = f"from tests.chaos.harness.columns import edit\nprint(edit({table!r}, {seed}, {kind!r}))"
    return grounds.running.python(code).strip()


def leave_out_everywhere(grounds: Grounds, tables: Sequence[str]) -> None:
    """The last edit of each table: from then on every message fits. One process for all."""
    code = "from tests.chaos.harness.columns import edit\n"
    grounds.running.python(code + "\n".join(f"edit({one!r}, 0, 'leave out')" for one in tables))


def edit(name: str, seed: int, kind: str = "") -> str:
    """One edit at random, or of one kind, from the columns that ClickHouse has applied."""
    from django.db import transaction

    from ingestion.models import Table

    kind = kind or Random(seed).choice(sorted(_EDITS))
    with transaction.atomic():
        table = Table.across_tenants.select_for_update().get(tenant__slug="chaos", name=name)
        _as_applied(table)
        _EDITS[kind](table)
    return f"{kind} {name}"


def _as_applied(table: Table) -> None:
    from ingestion.services import tables

    tables.take_back(table)


def _demand(table: Table) -> None:
    """From now on every message is a misfit."""
    _set_extra(table, required=True, default=None)
    _save(table)


def _offer(table: Table) -> None:
    _set_extra(table, required=False, default='"?"')
    _save(table)


def _describe(table: Table) -> None:
    """From now on batches have the metadata of their messages as well."""
    _set_extra(table, required=False, default='"?"', metadata="timestamp")
    _save(table)


def _compute(table: Table) -> None:
    _set_extra(table, required=False, default=None, expression="upper(text)")
    _save(table)


def _leave_out(table: Table) -> None:
    table.columns.filter(name=_EXTRA).delete()
    _save(table)


def _widen(table: Table) -> None:
    table.columns.filter(name="n").update(type="UInt32")
    _save(table)


def _refused(table: Table) -> None:
    """Checked as the admin and ``apply`` check it: nothing of it is saved."""
    from django.db import transaction

    from ingestion import ddl

    try:
        with transaction.atomic():
            table.columns.filter(name="seq").update(type="String")
            _save(table)
    except ddl.SpecError:
        return
    raise AssertionError("UInt64 can't become String, and nobody said so")


def _forced(table: Table) -> None:
    """Saved unchecked, as by hand in the database: a wish that ClickHouse refuses."""
    from ingestion.services import tables

    table.columns.filter(name="seq").update(type="String")
    tables.request_table(table)


def _set_extra(
    table: Table,
    *,
    required: bool,
    default: str | None,
    metadata: str = "",
    expression: str = "",
) -> None:
    from ingestion.models import Column

    Column.across_tenants.update_or_create(
        table=table,
        name=_EXTRA,
        defaults={
            "type": "String",
            "required": required,
            "default": default,
            "metadata": metadata,
            "expression": expression,
            "position": 99,
        },
    )


def _save(table: Table) -> None:
    from ingestion.services import tables

    tables.check_table(table)
    tables.request_table(table)


_EDITS: dict[str, Callable[[Table], None]] = {
    "demand": _demand,
    "offer": _offer,
    "describe": _describe,
    "compute": _compute,
    "leave out": _leave_out,
    "widen": _widen,
    "refused": _refused,
    "forced": _forced,
}
