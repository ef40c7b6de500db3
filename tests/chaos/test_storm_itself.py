"""The storm must fail where exactness is switched off; otherwise its success says nothing."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from tests.chaos.harness.grounds import grounds, tables_of
from tests.chaos.harness.storm import Report, Storm

pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.timeout(600)]

#: Few suffice to find what is so broken.
FAULTS = 4


def storm(installation: Any, sabotage: str, *kinds: str, window: int | None = None) -> Report:
    with grounds(installation, sabotage, workers=1) as made:
        if window is not None:
            made.set_window([table for name in made.tables for table in tables_of(name)], window)
        report = Storm(made, secrets.randbelow(2**31), kinds, patience=10).rage(FAULTS)
        print(report)  # noqa: T201 - what the run is for
        return report


def test_without_deduplication_events_are_doubled(fresh_installation: Any) -> None:
    # The client of ClickHouse repeats an insert by itself, and under the same token.
    report = storm(fresh_installation, "no_deduplication", "reply of an insert lost", window=0)
    assert report.doubled > 0
    assert not report.is_good


def test_with_early_acknowledgement_events_are_lost(fresh_installation: Any) -> None:
    kinds = ("network to clickhouse cut", "clickhouse killed")
    report = storm(fresh_installation, "early_acknowledgement", *kinds)
    assert report.lost > 0
    assert not report.is_good
