"""Charts drawn by the server: scales, steps, gaps, and words for who can't see them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from tenants.admin.chart import HEIGHT, Chart, Series, rounded_up

START = datetime(2026, 1, 31, 23, 58, tzinfo=UTC)


def chart(*values: float | None, filled: bool = False) -> Chart:
    starts = [START + timedelta(minutes=number) for number in range(len(values))]
    series = [Series("events", "main", values, filled)]
    return Chart("Events", "7/s", starts, series, lambda value: f"{value:g}/s")


@pytest.mark.parametrize(
    ("value", "top"),
    [(0, 1), (0.03, 0.05), (1, 1), (1.01, 2), (2, 2), (4.2, 5), (7, 10), (10, 10), (1001, 2000)],
)
def test_the_scale_ends_at_a_round_number(value: float, top: float) -> None:
    assert rounded_up(value) == pytest.approx(top)


def test_each_value_is_a_step_as_high_as_its_share_of_the_scale() -> None:
    (drawn,) = chart(0, 5, 10).drawn()
    assert drawn.line == f"M0 {HEIGHT} h1 V50 h1 V0 h1"
    assert drawn.area == ""
    (drawn,) = chart(0, 5, 10, filled=True).drawn()
    assert drawn.area == f"M0 {HEIGHT} L0 {HEIGHT} h1 V50 h1 V0 h1 V{HEIGHT} Z"


def test_where_there_is_no_value_there_is_a_gap() -> None:
    (drawn,) = chart(None, 10, None, None, 5).drawn()
    assert drawn.line == "M1 0 h1 M4 50 h1"


def test_nothing_at_all_is_drawn_as_nothing() -> None:
    (drawn,) = chart(None, None).drawn()
    assert drawn.line == ""
    assert chart(0, 0).columns() == []


def test_a_path_holds_nothing_but_a_path() -> None:
    (drawn,) = chart(1e-9, 1 / 3, 1e9).drawn()
    assert re.fullmatch(r"[MVhLZ0-9e. -]+", drawn.line)


def test_columns_say_when_and_how_much() -> None:
    assert chart(0, 3, None).columns() == [(1, "23:59 UTC: events 3/s")]
    assert chart(0, 3).summary() == "Events: now 7/s, at most 3/s"


def test_times_stand_below_with_their_day_where_there_are_several() -> None:
    assert chart(1, 2, 3).times() == ["23:58", "23:59", "00:00"]
    days = [START + timedelta(days=number) for number in range(3)]
    long = Chart("Events", "", days, [Series("e", "main", [1, 1, 1])], str)
    assert long.times() == ["Sat 23:58", "Sun 23:58", "Mon 23:58"]
    assert long.columns()[0][1].startswith("Sat 23:58 UTC")
