"""Reports of a tenant's lifecycle, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tenants.lifecycle.delete import DeleteReport, Emptied
from tenants.lifecycle.erase import EraseReport
from tenants.lifecycle.tenant_export import Manifest


def exported(folder: Path, manifest: Manifest) -> list[str]:
    lines = [
        f"{one.path}: {'' if one.rows is None else f'{one.rows:,} rows, '}{one.bytes:,} bytes"
        for one in manifest.files
    ]
    return [*lines, f"{manifest.rows:,} rows in all, in {folder}"]


def erased(report: EraseReport) -> list[str]:
    lines = []
    for one in report.places:
        counts = one.advice
        if one.before is not None:
            counts = f"{one.before:,} rows"
            counts += f", {one.after:,} now" if report.erased else ""
        lines.append(f"{one.kind} {one.table}: {counts}")
    lines += [f"Note: {one}" for one in report.remarks]
    if report.erased:
        return [*lines, f"{report.rows:,} rows were erased."]
    return [*lines, f"{report.rows:,} rows would be erased. Repeat it with --yes to do it."]


def to_delete(report: DeleteReport) -> list[str]:
    lines = [f"{one.store}: {_counts(one.before) or 'nothing'}" for one in report.stores]
    closing = f"Nothing was changed. Repeat it with --confirm {report.slug} to delete all of it."
    return [*lines, *_exports(report), closing]


def deleted(report: DeleteReport) -> list[str]:
    lines = [line for one in report.stores for line in _emptied(one)]
    closing = "is deleted: nothing is left" if report.done else "is not wholly deleted"
    return [*lines, *_exports(report), f"{report.slug} {closing}."]


def _emptied(one: Emptied) -> Iterator[str]:
    yield f"{one.store}: {_counts(one.before) or 'nothing'}; now {_counts(one.after) or 'nothing'}"
    yield from (f"Left: {line}" for line in one.left)


def _counts(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {what}" for what, number in counted.items() if number)


def _exports(report: DeleteReport) -> list[str]:
    return [f"Kept, since it was exported: {one}" for one in report.exports]
