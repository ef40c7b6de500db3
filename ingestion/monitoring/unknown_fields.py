"""Counts the fields that no column reads, in a sample of what lands in a table.

Each process looks at SAMPLE messages of a table a minute, whatever arrives. What it finds is added
to one row of Postgres for each table, which starts anew when the table's columns change.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import pyarrow as pa
from django.db import transaction

from ingestion.ddl.spec import ColumnSpec
from ingestion.models import Table, UnknownFieldRule, UnknownFields
from ingestion.monitoring.unread_paths import Read, read_by, unread

#: Messages of one table that a process looks at, and the seconds between two looks.
SAMPLE, PAUSE = 50, 60.0
#: A longer message is not looked at: parsing it would take too long.
LARGEST = 64 * 1024
#: The most paths that are kept for a table, and the most characters of a path and of an example.
PATHS, PATH, EXAMPLE = 100, 200, 100
#: Beyond so many messages all counts are halved, so that the shares follow what arrives.
MOST = 20_000
_looked_at: dict[int, float] = {}


def look(
    table: Table,
    version: int,
    columns: tuple[ColumnSpec, ...],
    rows: pa.Table,
    now: float | None = None,
) -> None:
    """Add a sample of ``rows`` to the table's counts, unless the last look was too recent.

    ``now``: seconds of a clock that never goes back.
    """
    now = time.monotonic() if now is None else now
    is_due = now - _looked_at.get(table.pk, now - PAUSE) >= PAUSE
    if not is_due or table.unknown_fields != UnknownFieldRule.COUNT or not rows.num_rows:
        return
    _looked_at[table.pk] = now
    read = read_by(columns)
    found = [_fields(message, read) for message in _messages(rows)]
    if found:
        _add(table, version, found)


def _messages(rows: pa.Table) -> Iterator[dict[str, Any]]:
    """Messages that are JSON objects, from all over the batch."""
    step = max(1, rows.num_rows // SAMPLE)
    for raw in rows["raw"].take(pa.array(range(0, rows.num_rows, step)[:SAMPLE])).to_pylist():
        if len(raw) > LARGEST:
            continue
        try:
            message = orjson.loads(raw)
        except orjson.JSONDecodeError:
            continue
        if isinstance(message, dict):
            yield message


def _fields(message: dict[str, Any], read: Read) -> dict[str, str]:
    """An example of each field that no column reads, as JSON."""
    return {
        path[:PATH].replace("\0", ""): _example(value)
        for path, value in unread(message, read).items()
    }


def _example(value: Any) -> str:
    try:
        written = orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # nested more deeply than orjson writes, though it has read it
        return "…"
    return written if len(written) <= EXAMPLE else f"{written[: EXAMPLE - 1]}…"


def _add(table: Table, version: int, found: list[dict[str, str]]) -> None:
    with transaction.atomic():
        UnknownFields.across_tenants.get_or_create(
            table=table, defaults={"version": version, "sampled": 0}
        )
        # Another process that has the row is counting the same: this look is left out.
        locked = UnknownFields.across_tenants.select_for_update(skip_locked=True)
        row = locked.filter(table=table).first()
        if row is None or row.version > version:
            return
        if row.version < version:
            row.version, row.sampled, row.fields = version, 0, {}
        row.sampled += len(found)
        row.fields = _counted(row.fields, found)
        if row.sampled > MOST:
            row.sampled //= 2
            row.fields = {path: [count // 2, last] for path, (count, last) in row.fields.items()}
        row.save()


def _counted(fields: dict[str, list[Any]], found: Iterable[dict[str, str]]) -> dict[str, list[Any]]:
    """``fields`` with what was found; of too many paths the most frequent."""
    counted = dict(fields)
    for message in found:
        for path, example in message.items():
            before = counted[path][0] if path in counted else 0
            counted[path] = [before + 1, example]
    frequent = sorted(counted.items(), key=lambda item: (-item[1][0], item[0]))
    return dict(frequent[:PATHS])
