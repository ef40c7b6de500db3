"""``manage.py status``: is each source running, how far behind, how fresh, what broke."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from ingestion.models import Column, Source, SourceMinute, StreamPartition, Table
from ingestion.monitoring.source_status import source_status
from tenants.models import Tenant


def _status(*arguments: str) -> str:
    out = io.StringIO()
    call_command("status", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def source(db: None, unique: Callable[[str], str]) -> Source:
    tenant = Tenant.objects.create(slug=unique("acme"), name="Acme")
    table = Table.objects.create(tenant=tenant, name="t", state="ready", applied=1)
    Column.objects.create(table=table, name="n", type="UInt8")
    return Source.objects.create(tenant=tenant, name="events", table=table)


def _partition(source: Source, number: int = 0, **fields: Any) -> StreamPartition:
    return StreamPartition.objects.create(source=source, number=number, **fields)


def test_without_a_source_it_says_so(db: None) -> None:
    assert json.loads(_status("--json")) == []
    assert "Source" in _status()


def test_a_source_in_figures(source: Source) -> None:
    now = timezone.now()
    _partition(source, 0, position=10, high_watermark=15, landed=8, quarantined=2,
               last_event_at=now - timedelta(seconds=30), last_landed_at=now)  # fmt: skip
    _partition(source, 1, position=None, low_watermark=3, high_watermark=10, lost=1)
    (found,) = json.loads(_status("--json"))
    assert found["tenant"] == source.tenant.slug
    assert (found["source"], found["kind"], found["table"]) == ("events", "http", "t")
    assert (found["lag"], found["landed"], found["quarantined"]) == (5 + 7, 8, 2)
    assert (found["lost"], found["partitions"]) == (1, 2)
    assert 29 < found["freshness_seconds"] < 60
    # What waits in the other partition was never read: nobody knows for how long.
    assert 29 < found["lag_seconds"] < 60
    assert (found["freshness_p50"], found["events_per_second"]) == (None, 0)
    text = _status()
    assert f"{source.tenant.slug}.events" in text
    assert "12" in text


@pytest.mark.parametrize(
    ("fields", "partition", "tenant", "state"),
    [
        ({}, {"lease_owner": "w", "epoch": 1,
              "lease_expires_at": timezone.now() + timedelta(days=1)}, "active", "running"),
        ({}, {"epoch": 3, "lease_expires_at": timezone.now() + timedelta(days=1)},
         "active", "running"),
        ({}, {}, "active", "waiting"),
        ({}, {"lease_owner": "w", "epoch": 1,
              "lease_expires_at": timezone.now() - timedelta(days=1)},
         "active", "waiting"),
        ({"active": False}, {}, "active", "paused"),
        ({}, {}, "suspended", "paused"),
        ({"attempts": 1, "error": "it broke"}, {}, "active", "failing"),
    ],
)  # fmt: skip
def test_states(
    fields: dict[str, Any], partition: dict[str, Any], tenant: str, state: str, source: Source
) -> None:
    Source.objects.update(**fields)
    Tenant.objects.update(status=tenant)
    _partition(source, **partition)
    (found,) = source_status()
    assert found.state == state
    assert (found.retry_at is not None) == (state == "failing")


def test_an_error_stays_to_be_read_after_it_was_overcome(source: Source) -> None:
    Source.objects.update(error="it broke", error_at=timezone.now(), attempts=0)
    assert "it broke" in _status()


def test_why_it_was_paused_is_said_as_it_stands(source: Source) -> None:
    Source.objects.update(active=False, paused_reason="It did [red]not[/red] fit.", error="older")
    assert json.loads(_status("--json"))[0]["paused_reason"] == "It did [red]not[/red] fit."
    assert "It did [red]not[/red] fit." in _status()
    Source.objects.update(active=True)
    assert json.loads(_status("--json"))[0]["paused_reason"] == ""


def test_how_old_events_were_and_how_many_a_second(source: Source) -> None:
    now = timezone.now()
    Source.objects.update(created_at=now - timedelta(days=1))
    # Half of them below 0.1 s, half between 20 and 30 s.
    ages = [50, *[0] * 13, 50, *[0] * 11]
    SourceMinute.objects.create(
        source=source, began_at=now, rows=60_000, bytes=6 * 10**7, ages=ages
    )
    (found,) = json.loads(_status("--json"))
    assert found["freshness_p50"] == 0.1
    assert 28 < found["freshness_p95"] < 30
    assert 200 <= found["events_per_second"] <= 250
    assert 200_000 <= found["bytes_per_second"] <= 250_000
    assert re.search(r"0\.1 s +29\.0 s +2\d\d +2\d\d,\d{3}", _status())


def test_tenants_may_be_chosen_and_an_unknown_one_is_named(source: Source) -> None:
    assert len(json.loads(_status(source.tenant.slug, "--json"))) == 1
    with pytest.raises(CommandError, match="no tenant nobody"):
        _status("nobody")


def test_two_questions_for_all(source: Source, django_assert_num_queries: Any) -> None:
    for number in range(20):
        other = Source.objects.create(tenant=source.tenant, name=f"s{number}", table=source.table)
        _partition(other)
    with django_assert_num_queries(2):
        assert len(source_status()) == 21
