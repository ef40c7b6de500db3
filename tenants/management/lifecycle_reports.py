"""Formats the reports of export, erase and delete as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tenants.lifecycle.delete import DeleteReport, Emptied
from tenants.lifecycle.erase import EraseReport
from tenants.lifecycle.tenant_export import Manifest


def exported(folder: Path, manifest: Manifest) -> list[str]:
    lines = [
        f"{file.path}: {'' if file.rows is None else f'{file.rows:,} rows, '}{file.bytes:,} bytes"
        for file in manifest.files
    ]
    return [*lines, f"{manifest.rows:,} rows in total, in {folder}"]


def erased(report: EraseReport) -> list[str]:
    lines = []
    for place in report.places:
        counts = place.advice
        if place.before is not None:
            counts = f"{place.before:,} rows"
            counts += f", {place.after:,} now" if report.erased else ""
        lines.append(f"{place.kind} {place.table}: {counts}")
    lines += [f"Note: {remark}" for remark in report.remarks]
    if report.erased:
        return [*lines, f"{report.rows:,} rows were erased."]
    return [*lines, f"{report.rows:,} rows would be erased. Add --yes to erase them."]


def to_delete(report: DeleteReport) -> list[str]:
    lines = [f"{store.store}: {_counts(store.before) or 'nothing'}" for store in report.stores]
    closing = f"Nothing was deleted. Add --confirm {report.slug} to delete all of it."
    return [*lines, *_exports(report), closing]


def deleted(report: DeleteReport) -> list[str]:
    lines = [line for store in report.stores for line in _emptied(store)]
    closing = "was deleted. Nothing is left" if report.done else "was only partly deleted"
    return [*lines, *_exports(report), f"{report.slug} {closing}."]


def _emptied(store: Emptied) -> Iterator[str]:
    before, now = _counts(store.before) or "nothing", _counts(store.after) or "nothing"
    yield f"{store.store}: {before}; now {now}"
    yield from (f"Left: {line}" for line in store.left)


def _counts(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {what}" for what, number in counted.items() if number)


def _exports(report: DeleteReport) -> list[str]:
    return [f"This export is kept: {folder}" for folder in report.exports]
