from __future__ import annotations

from collections.abc import Callable

import pytest

from ingestion.consume.loop import Slice
from ingestion.models import Source, StreamPartition, Table
from ingestion.services.events import accept
from tenants.models import Tenant

COLUMNS = [
    {"name": "who", "type": "String", "path": "user.id"},
    {"name": "n", "type": "UInt32"},
]
EVENTS = [
    b'{"user": {"id": "ann"}, "n": 1}',
    b'{"user": {"id": "ann"}, "n": 2}',
    b'{"user": {"id": "bob"}, "n": 3}',
    b'{"user": {"id": "ann"}, "n": -4}',
    b'{"user": {"id": "bob"}, "n": -5}',
]


@pytest.fixture
def columns() -> list[dict[str, str]]:
    return COLUMNS


@pytest.fixture
def events() -> list[bytes]:
    """Three that fit and two that don't; of ann three, one of them in quarantine."""
    return EVENTS


@pytest.fixture
def table(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Table:
    return table_factory(tenant_factory("life"), COLUMNS, sorting_key=["n"])


@pytest.fixture
def source(table: Table) -> Source:
    """A source whose events have landed."""
    made = Source.objects.create(tenant=table.tenant, name="events", table=table)
    accept(made, EVENTS)
    Slice(None, seconds=1.0).run()
    assert StreamPartition.objects.get(source=made).landed == 3
    return made
