"""Which messages of a quarantine: by reason, column and source, and received until when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ingestion.models import QuarantineRun, Table


@dataclass(frozen=True, slots=True)
class Selection:
    """Messages of a table's quarantine.

    ``reason`` '' and ``column`` None stand for any; ``source`` is a key, 0 for any. ``until_ms``:
    received no later, in ms since 1970 by ClickHouse's clock.
    """

    table: Table
    reason: str = ""
    column: str | None = None
    source: int = 0
    until_ms: int = (1 << 62) // 1_000_000

    @property
    def condition(self) -> str:
        """The SQL condition; its values are ``parameters``."""
        return (
            "{reason:String} IN ('', reason) AND {source:UInt64} IN (0, _source) "
            "AND ({any_column:Bool} OR `column` = {column:String}) "
            "AND _ingested_at <= fromUnixTimestamp64Milli({until:Int64}, 'UTC')"
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """The values of ``condition``, bound by ClickHouse."""
        return {
            "reason": self.reason,
            "source": self.source,
            "any_column": self.column is None,
            "column": self.column or "",
            "until": self.until_ms,
        }


def selection_of(run: QuarantineRun) -> Selection:
    """The messages that a run is about."""
    until = round(run.until.timestamp() * 1000)
    return Selection(run.table, run.reason, run.column, run.source_id or 0, until)
