"""Heartbeats: rare if each takes long, but always often enough for the lease."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from ingestion.leases import lease
from ingestion.models import Source, StreamPartition, Table


@pytest.mark.parametrize(
    ("took", "seconds", "pause"),
    [
        (0.0, 30.0, lease.BEAT),
        (0.1, 30.0, 2.0),
        (9.0, 30.0, lease.LONGEST_BEAT),
        (9.0, 12.0, 2.0),
        (9.0, 2.0, lease.BEAT),
    ],
)
def test_a_heartbeat_that_takes_long_comes_less_often(
    settings: Any, took: float, seconds: float, pause: float
) -> None:
    settings.MILLRACE_LEASE_SECONDS = seconds
    assert lease.pause(took) == pytest.approx(pause)


def test_an_owner_whose_sources_bring_nothing_comes_less_often(settings: Any) -> None:
    settings.MILLRACE_LEASE_SECONDS = 30.0
    assert lease.pause(0.0, is_idle=True) == lease.IDLE_BEAT
    # A lease still outlasts several of them.
    settings.MILLRACE_LEASE_SECONDS = 2.0
    assert lease.pause(0.0, is_idle=True) == lease.BEAT


@pytest.fixture
def leased(topic: Callable[..., Any], table: Table) -> tuple[StreamPartition, StreamPartition]:
    """Two partitions of one owner: one lease was just renewed, the other ends soon."""
    source = topic(2).source(table)
    for number in range(2):
        StreamPartition.objects.create(source=source, number=number, position=0)
    lease.take(source.connection_id, "me", 2)
    fresh, due = StreamPartition.objects.order_by("number")
    soon = timezone.now() + timedelta(seconds=5)
    StreamPartition.objects.filter(pk=due.pk).update(lease_expires_at=soon)
    fresh.refresh_from_db()
    due.refresh_from_db()
    return fresh, due


def test_what_ends_soon_is_renewed(leased: tuple[StreamPartition, StreamPartition]) -> None:
    fresh, due = leased
    before = fresh.lease_expires_at
    assert lease.renew("me", [fresh.pk, due.pk]) == {fresh.pk, due.pk}
    fresh.refresh_from_db()
    due.refresh_from_db()
    assert fresh.lease_expires_at == before
    assert due.lease_expires_at > timezone.now() + timedelta(seconds=20)


def test_where_nothing_ends_soon_one_query_locks_nothing(
    leased: tuple[StreamPartition, StreamPartition], django_assert_num_queries: Any
) -> None:
    fresh, _ = leased
    with django_assert_num_queries(1) as asked:
        assert lease.renew("me", [fresh.pk]) == {fresh.pk}
    assert "FOR " not in asked.captured_queries[0]["sql"]


def test_what_is_another_s_or_of_a_paused_source_is_not_renewed(
    leased: tuple[StreamPartition, StreamPartition],
) -> None:
    fresh, due = leased
    assert lease.renew("another", [fresh.pk, due.pk]) == set()
    Source.objects.update(active=False)
    assert lease.renew("me", [fresh.pk, due.pk]) == set()
    before = due.lease_expires_at
    due.refresh_from_db()
    assert due.lease_expires_at == before
