"""Compares what has landed with the source files: row counts, and sums of two columns."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from millrace.demo.cast import WEATHER
from millrace.demo.events import sound
from millrace.demo.lines import CurlLine
from tenants.models import Tenant
from tenants.warehouse import client


@dataclass(frozen=True)
class Totals:
    """One tenant's events, how many are in quarantine, and two sums over those that fit."""

    events: int
    quarantined: int
    first_sum: Decimal
    second_sum: Decimal


def differences(rows: Mapping[str, pa.Table]) -> Iterator[str]:
    """One line for each tenant whose tables differ from the files."""
    for slug, sent in rows.items():
        expected, actual = _expected(slug, sent), _found(slug)
        if actual != expected:
            yield f"{slug}: expected {expected}, found {actual}"


def _columns(slug: str) -> tuple[str, str, str, str, str]:
    """The table, its two columns to sum, and the same columns in the source files."""
    if slug == WEATHER:
        return "readings", "wind_direction", "humidity", "wind_dir", "humid"
    return "flights", "distance", "air_time", "distance", "air_time"


def _expected(slug: str, sent: pa.Table) -> Totals:
    *_, first, second = _columns(slug)
    kept = sound(sent)
    sums = [
        sum((Decimal(repr(v)) for v in kept[c].to_pylist() if v is not None), Decimal())
        for c in (first, second)
    ]
    return Totals(sent.num_rows, sent.num_rows - kept.num_rows, sums[0], sums[1])


def _found(slug: str) -> Totals:
    table, first, second, *_ = _columns(slug)
    database = Tenant.objects.get(slug=slug).warehouse.database
    (row,) = client.rows(  # unquoted: all names are constants in this file
        f"SELECT count() AS landed, sum({first}) AS a, sum({second}) AS b, "
        "uniqExact(_partition, _offset, _message_id) AS distinct_events "
        f"FROM {database}.{table}"
    )
    (misfits,) = client.rows(f"SELECT count() AS count FROM {database}.{table}__quarantine")
    if row["distinct_events"] != row["landed"]:
        doubled = row["landed"] - row["distinct_events"]
        raise AssertionError(f"{slug}: {doubled} rows are in the table more than once.")
    return Totals(
        row["landed"] + misfits["count"],
        misfits["count"],
        Decimal(str(row["a"] or 0)),
        Decimal(str(row["b"] or 0)),
    )


def call(line: CurlLine) -> str:
    """Run a printed line unchanged; returns what is wrong with its answer, or ''."""
    command = f"{line.command} -w '\\n%{{http_code}}'"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)  # noqa: S602 - it is what a user pastes
    body, _, status = done.stdout.rpartition("\n")
    if done.returncode or status != str(line.status):
        return f"{line.about}: {status or done.stderr.strip()}, not {line.status}: {body[:300]}"
    return "" if _has_content(line, body) else f"{line.about}: the answer has no data: {body[:300]}"


def _has_content(line: CurlLine, body: str) -> bool:
    if "format=csv" in line.command:
        return len(body.splitlines()) > 1
    content: dict[str, Any] = json.loads(body)
    return line.status != 200 or bool(content.get("data") or content.get("queries"))


def worst_destinations(flights: pa.Table, origin: str, least: int) -> list[tuple[str, int]]:
    """The result that the query ``delays`` must have, from the file: destination and flights."""
    known = sound(flights)
    known = known.filter(
        pc.and_(pc.equal(known["origin"], origin), pc.is_valid(known["arr_delay"]))
    )
    grouped = known.group_by("dest").aggregate([("arr_delay", "mean"), ("arr_delay", "count")])
    kept = [row for row in grouped.to_pylist() if row["arr_delay_count"] >= least]
    kept.sort(key=lambda row: (-round(row["arr_delay_mean"], 1), row["dest"]))
    return [(row["dest"], row["arr_delay_count"]) for row in kept[:10]]


def compared(line: CurlLine, flights: pa.Table) -> str:
    """Compare the answer about United's delays with the file; returns the difference, or ''."""
    answer = subprocess.run(line.command, shell=True, capture_output=True, text=True, check=True)  # noqa: S602
    rows = json.loads(answer.stdout)["data"]
    result = [(row["destination"], int(row["flights"])) for row in rows]
    expected = worst_destinations(flights, "JFK", 50)
    return "" if result == expected else f"{line.about}: got {result}, expected {expected}"
