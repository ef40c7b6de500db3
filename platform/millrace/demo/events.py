"""Makes events from the files' rows: JSON as an airline or a weather station would send it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from millrace.demo.breakage import is_broken, spoiled

#: Month and day on which New York's clocks went forward and back in 2013.
_SUMMER = ((3, 10), (11, 3))


def of_carrier(flights: pa.Table, carrier: str) -> pa.Table:
    """The rows of one airline, in the file's order."""
    return flights.filter(pc.equal(flights["carrier"], carrier))


def sound(rows: pa.Table) -> pa.Table:
    """The rows whose events are not broken on purpose."""
    kept = [not is_broken(number) for number in range(rows.num_rows)]
    return rows.filter(pa.array(kept))


def flight_events(rows: pa.Table, start: int = 0, step: int = 1) -> Iterator[bytes]:
    """The events of every ``step``-th row from ``start`` on."""
    for number, row in _rows(rows, start, step):
        event = orjson.dumps(_flight(row))
        yield spoiled(number, event, "flight") if is_broken(number) else event


def weather_events(rows: pa.Table, start: int = 0) -> Iterator[bytes]:
    """The events of all rows from ``start`` on. All stay JSON, as the events endpoint requires."""
    for number, row in _rows(rows, start, 1):
        event = orjson.dumps(_reading(row))
        yield spoiled(number, event, "station", json=True) if is_broken(number) else event


def _rows(rows: pa.Table, start: int, step: int) -> Iterator[tuple[int, dict[str, Any]]]:
    numbers = range(start, rows.num_rows, step)
    picked = rows.take(pa.array(numbers, pa.int64()))
    place = iter(numbers)
    for batch in picked.to_batches(max_chunksize=4_000):
        rows_of_batch = batch.to_pylist()
        yield from zip(islice(place, len(rows_of_batch)), rows_of_batch, strict=True)


def _moment(row: dict[str, Any], clock: int) -> str:
    """A local time with its UTC offset; ``clock`` is hours and minutes, such as 1345."""
    month, day = row["month"], row["day"]
    offset = "-04:00" if _SUMMER[0] <= (month, day) < _SUMMER[1] else "-05:00"
    hours, minutes = divmod(clock, 100)
    return f"{row['year']}-{month:02}-{day:02}T{hours % 24:02}:{minutes:02}:00{offset}"


def _flight(row: dict[str, Any]) -> dict[str, Any]:
    cancelled = row["dep_time"] is None
    return {
        "scheduled": _moment(row, row["sched_dep_time"]),
        "flight": row["flight"],
        "tail": row["tailnum"],
        "route": {
            "origin": row["origin"],
            "destination": row["dest"],
            "distance": row["distance"],
        },
        "delay": {"departure": row["dep_delay"], "arrival": row["arr_delay"]},
        "air_time": row["air_time"],
        "cancelled": cancelled,
    }


def _reading(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "time": _moment(row, row["hour"] * 100),
        "station": row["origin"],
        "temperature": row["temp"],
        "humidity": row["humid"],
        "wind": {"direction": row["wind_dir"], "speed": row["wind_speed"]},
        "pressure": row["pressure"],
        "visibility": row["visib"],
    }
