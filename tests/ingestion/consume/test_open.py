"""Opening a slice may take longer than its leases last."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

import ingestion.consume.open as opening
from ingestion.batches.batch import Lease
from ingestion.connectors.registry import connect
from ingestion.consume import discovery
from ingestion.consume.source_reader import SourceReader
from ingestion.leases import lease
from ingestion.models import Source, StreamPartition, Table

SOURCES = 3


@pytest.fixture
def sources(topic: Callable[..., Any], table: Table) -> list[Source]:
    """Several measured sources on one connection."""
    first = topic().source(table, name="events0")
    made = [first]
    for number in range(1, SOURCES):
        stream = topic()
        made.append(
            Source.objects.create(
                tenant=table.tenant,
                name=f"events{number}",
                connection=first.connection,
                stream=stream.stream,
                table=table,
            )
        )
    discovery.measure_connection(first.connection_id)
    return made


class Slow:
    """Opens each reader in ``seconds``, and calls ``then`` after the first of them."""

    def __init__(self) -> None:
        self.seconds = 1.1
        self.opened: list[str] = []
        self.then: Callable[[], object] = lambda: None
        self._open_feed = opening.open_source_reader

    def __call__(self, connector: Any, source: Source, *given: Any) -> SourceReader:
        time.sleep(self.seconds)
        self.opened.append(source.stream)
        reader = self._open_feed(connector, source, *given)
        if len(self.opened) == 1:
            self.then()
        return reader


@pytest.fixture
def slow(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Slow:
    settings.MILLRACE_LEASE_SECONDS = 2
    made = Slow()
    monkeypatch.setattr(opening, "open_source_reader", made)
    return made


def open_all(source: Source, owner: str) -> None:
    connector = connect(source.connection)
    try:
        for reader in opening.open_source_readers(connector, source.connection_id, owner):
            reader.stream.close()
    finally:
        connector.close()


@pytest.mark.slow
def test_leases_are_renewed_while_feeds_are_opened(sources: list[Source], slow: Slow) -> None:
    owner = lease.new_owner()
    open_all(sources[0], owner)
    assert sorted(slow.opened) == sorted(one.stream for one in sources)
    mine = StreamPartition.objects.filter(lease_owner=owner, lease_expires_at__gt=timezone.now())
    assert mine.count() == SOURCES


@pytest.mark.slow
def test_one_feed_may_take_longer_to_open_than_a_lease_lasts(
    transactional_db: None, sources: list[Source], slow: Slow
) -> None:
    """For example to recover a large batch: another owner would only begin it anew."""
    slow.seconds = 3.0
    connection_id, another = sources[0].connection_id, list[Lease]()
    slow.then = lambda: another.extend(lease.take(connection_id, "another:1:aa", SOURCES))
    open_all(sources[0], lease.new_owner())
    assert len(slow.opened) == SOURCES
    assert another == []


def test_what_was_lost_meanwhile_is_not_opened(sources: list[Source], slow: Slow) -> None:
    another = "another:1:aa"
    slow.then = lambda: StreamPartition.objects.update(lease_owner=another)
    open_all(sources[0], lease.new_owner())
    assert len(slow.opened) == 1
    assert set(StreamPartition.objects.values_list("lease_owner", flat=True)) == {another}
