"""Formats entries of the audit log as CSV, as NDJSON and as the API's JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any

from tenants.formulas import neutral
from tenants.models import AuditEntry

COLUMNS = (
    *("id", "at", "tenant", "actor_kind", "actor_id", "actor", "address", "action"),
    *("object_type", "object_id", "object", "detail"),
)


def as_dict(entry: AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.pk,
        "at": entry.at.isoformat(),
        "tenant": entry.tenant_slug or None,
        "actor_kind": entry.actor_kind,
        "actor_id": entry.actor_id,
        "actor": entry.actor_name,
        "address": entry.address,
        "action": entry.action,
        "object_type": entry.object_type,
        "object_id": entry.object_id,
        "object": entry.object_name,
        "detail": entry.detail,
    }


class _LastLine:
    """A file for csv.writer, whose ``writerow`` then returns the line."""

    def write(self, text: str) -> str:
        return text


def as_csv(entries: Iterable[AuditEntry]) -> Iterator[str]:
    """Lines of CSV, the heading first. Spreadsheets see no cell as a formula."""
    writer = csv.writer(_LastLine())
    yield writer.writerow(COLUMNS)
    for entry in entries:
        row = as_dict(entry) | {"detail": json.dumps(entry.detail, ensure_ascii=False)}
        texts = ("" if value is None else str(value) for value in row.values())
        yield writer.writerow([neutral(text) for text in texts])


def as_ndjson(entries: Iterable[AuditEntry]) -> Iterator[str]:
    for entry in entries:
        yield json.dumps(as_dict(entry), ensure_ascii=False) + "\n"
