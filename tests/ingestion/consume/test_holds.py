"""Messages of a tenant that has used up its plan wait at the broker, and then land unaided."""

from __future__ import annotations

from typing import Any

import pytest

from ingestion.consume.loop import Slice
from ingestion.models import Source, Table
from ingestion.monitoring.source_status import source_status
from tenants.models import IngestionHold, Usage
from tenants.plans import holds
from tenants.services.plans import give_plan, make_plan
from tenants.warehouse import client


@pytest.fixture(params=["kafka", "classic"])
def stream(request: pytest.FixtureRequest) -> Any:
    if request.param == "kafka":
        return request.getfixturevalue("topic")()
    return request.getfixturevalue("queue")(request.param)


@pytest.fixture
def sent(stream: Any, table: Table) -> Source:
    source: Source = stream.source(table)
    stream.send([b'{"n": %d}' % n for n in range(20)])
    return source


@pytest.mark.slow
def test_a_stream_is_held_at_the_days_end_and_loses_nothing(
    stream: Any, sent: Source, table: Table
) -> None:
    tenant = table.tenant
    give_plan(tenant, make_plan(f"of {tenant.slug}", {"events_a_day": 20}))
    Slice(sent.connection_id, seconds=3).run()
    (row,) = Usage.objects.filter(tenant=tenant)
    assert (row.events, row.key) == (20, None)
    assert row.bytes == sent.partitions.get().bytes > 0
    holds.refresh()
    hold = IngestionHold.objects.get(tenant=tenant)
    assert "20 events arrived today" in hold.reason
    (status,) = source_status(Source.across_tenants.filter(pk=sent.pk))
    assert (status.state, status.paused_reason) == ("paused", hold.reason)
    stream.send([b'{"n": %d}' % n for n in range(20, 30)])
    held = Slice(sent.connection_id, seconds=1)
    held.run()
    assert held.rows == 0
    # The next day.
    holds.refresh(now=hold.until)
    assert not IngestionHold.objects.exists()
    Slice(sent.connection_id, seconds=3).run()
    found = client.rows(f"SELECT n FROM {tenant.warehouse.database}.events ORDER BY n")
    assert [one["n"] for one in found] == list(range(30))
