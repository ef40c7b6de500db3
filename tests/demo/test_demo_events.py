"""What the demo sends, against the package's own file."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from millrace.demo import breakage, data, events
from millrace.demo.cast import AIRLINES, FILES, WEATHER, files
from millrace.demo.streaming import rows_by_tenant


@pytest.fixture(scope="module")
def rows() -> dict[str, pa.Table]:
    return rows_by_tenant(data.flights(), data.weather())


def test_every_row_of_the_files_belongs_to_one_tenant(rows: dict[str, pa.Table]) -> None:
    assert rows[WEATHER].num_rows == 26_115
    assert sum(one.num_rows for slug, one in rows.items() if slug != WEATHER) == 336_776


def test_partitions_together_send_each_event_once(rows: dict[str, pa.Table]) -> None:
    sent = rows["virgin"]
    whole = list(events.flight_events(sent))
    parts = [list(events.flight_events(sent, start, 4)) for start in range(4)]
    assert len(whole) == sent.num_rows == sum(map(len, parts))
    assert [parts[n % 4][n // 4] for n in range(len(whole))] == whole


def test_going_on_in_the_middle_sends_what_is_missing(rows: dict[str, pa.Table]) -> None:
    sent = rows["mesa"]
    whole = list(events.flight_events(sent))
    assert list(events.flight_events(sent, 100)) == whole[100:]


@pytest.mark.slow
def test_a_few_hundred_events_are_broken_in_four_ways(rows: dict[str, pa.Table]) -> None:
    broken = [
        event
        for one in AIRLINES
        for number, event in enumerate(events.flight_events(rows[one.slug]))
        if breakage.is_broken(number)
    ]
    assert len(broken) == sum(breakage.count(rows[one.slug].num_rows) for one in AIRLINES)
    assert 300 < len(broken) < 400
    kinds = {_mistake(event) for event in broken}
    assert kinds == {"invalid JSON", "wrong type", "out of range", "missing"}


def _mistake(event: bytes) -> str:
    try:
        content = json.loads(event)
    except ValueError:
        return "invalid JSON"
    if "flight" not in content:
        return "missing"
    return "wrong type" if isinstance(content["flight"], dict) else "out of range"


def test_times_have_the_offset_of_their_day(rows: dict[str, pa.Table]) -> None:
    found = [json.loads(e)["time"][-6:] for e in events.weather_events(rows[WEATHER].slice(0, 490))]
    assert set(found) == {"-05:00"}
    summer = events.of_carrier(data.flights(), "HA").slice(180, 3)
    assert {json.loads(e)["scheduled"][-6:] for e in events.flight_events(summer)} == {"-04:00"}


def test_every_tenant_has_a_file() -> None:
    for rabbitmq in (True, False):
        found = files(rabbitmq=rabbitmq)
        assert len(found) == len(AIRLINES) + 2
        assert all(one.is_file() and one.parent == FILES for one in found)
