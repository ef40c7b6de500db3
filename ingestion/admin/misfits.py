"""What a table's quarantine page shows: groups of misfits, and the newest of the selected group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from ingestion import quarantine
from ingestion.models import Source, Table
from ingestion.quarantine import MisfitGroup
from tenants.warehouse.errors import WarehouseError

#: A bar is as wide as its group's share of all misfits, but at least this wide, to be visible.
LEAST_PERCENT = 0.5


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which misfits to show; '' and None stand for all."""

    reason: str = ""
    column: str | None = None
    source: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wanted:
        return cls(query.get("reason", ""), query.get("column"), query.get("source", ""))

    def address(self, **changes: str | None) -> str:
        """The page's query string with ``changes`` applied."""
        parts = {"reason": self.reason, "column": self.column, "source": self.source} | changes
        # An empty column is a selection too: messages that are not JSON have no column.
        kept = {
            key: value for key, value in parts.items() if value or (key, value) == ("column", "")
        }
        return f"?{urlencode(kept)}"


@dataclass(frozen=True, slots=True)
class Row:
    """A group, the address that shows its messages, and its share of all misfits in per cent."""

    group: MisfitGroup
    address: str
    percent: float
    is_chosen: bool


def context(table: Table, wanted: Wanted) -> dict[str, Any]:
    """The context of ``millrace/quarantine.html``; if ClickHouse fails, ``trouble`` says why."""
    source = _source(table, wanted.source)
    try:
        groups = quarantine.groups(table, source=source)
        newest = quarantine.newest(table, reason=wanted.reason, column=wanted.column, source=source)
    except WarehouseError as error:
        return {"trouble": str(error)}
    total = sum(group.messages for group in groups)
    return {
        "rows": [_row(group, wanted, total) for group in groups],
        "total": total,
        "misfits": newest,
        "chosen": wanted.reason,
        "chosen_column": wanted.column,
        "everything": wanted.address(reason=None, column=None),
        "source": source,
        "sources": _sources(table, wanted, source),
    }


def _source(table: Table, text: str) -> Source | None:
    """The source with this primary key, or None unless it feeds the table."""
    is_key = text.isascii() and text.isdigit() and len(text) < 19
    return table.sources.filter(pk=text).first() if is_key else None


def _sources(table: Table, wanted: Wanted, chosen: Source | None) -> list[tuple[str, str, bool]]:
    """One (name, address, whether it is selected) for each source that feeds the table."""
    everything = [("All sources", wanted.address(source=None), chosen is None)]
    return everything + [
        (source.name, wanted.address(source=str(source.pk)), source == chosen)
        for source in table.sources.order_by("name")
    ]


def _row(group: MisfitGroup, wanted: Wanted, total: int) -> Row:
    return Row(
        group=group,
        address=wanted.address(reason=group.reason, column=group.column),
        percent=max(LEAST_PERCENT, round(100 * group.messages / total, 1)),
        is_chosen=(group.reason, group.column) == (wanted.reason, wanted.column),
    )
