"""Defaults from before they were held to the rules of columns: what they meant stays."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from analytics_api.models import SavedQuery, SavedQueryVersion
from analytics_api.parameters import load

MIGRATION = import_module("analytics_api.migrations.0002_examples_and_strict_defaults")
MODELS = {"SavedQuery": SavedQuery, "SavedQueryVersion": SavedQueryVersion}


class _Apps:
    def get_model(self, _: str, name: str) -> Any:
        return SimpleNamespace(objects=MODELS[name].across_tenants)


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("DateTime", "2013-01-01", "2013-01-01 00:00:00"),
        ("DateTime64(3)", "20130101T101500.12345+02:00", "2013-01-01 10:15:00.123+0200"),
        ("Nullable(DateTime)", "2013-01-01", "2013-01-01 00:00:00"),
        ("Bool", "1", True),
        ("Bool", "FALSE", False),
        ("UInt16", "007", "7"),
        ("Decimal(10, 2)", "+.50", "0.50"),
        ("UInt16", 7, 7),
        ("DateTime", "2013-01-01 10:00:00", "2013-01-01 10:00:00"),
        ("Float32", "1e39", "1e39"),
        ("FixedString(3)", "ab", "ab"),
    ],
)
def test_a_default_is_written_as_it_was_understood(
    kind: str, before: Any, after: Any, api: Any
) -> None:
    query = api.publish("old", "SELECT n FROM events")
    query.parameters = {"v": {"default": before, "description": "x"}}
    query.save()
    parameters = [{"name": "v", "type": kind, "default": before}]
    SavedQueryVersion.across_tenants.filter(query=query).update(parameters=parameters)
    MIGRATION.mend(_Apps(), None)
    query.refresh_from_db()
    assert query.published.parameters == [{"name": "v", "type": kind, "default": after}]
    assert query.parameters == {"v": {"default": after, "description": "x"}}


def test_a_default_that_means_nothing_must_be_given() -> None:
    (parameter,) = load([{"name": "v", "type": "Float32", "default": "1e39"}])
    assert parameter.default is None
