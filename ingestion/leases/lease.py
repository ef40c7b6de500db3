"""Leases: who may read a stream partition, until when, and in which epoch, by Postgres' clock.

An owner renews its leases at each heartbeat and releases them at the end. If it stops, it loses the
partition when the lease expires and another takes it; from then on its own statements match no row.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Collection
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import BooleanField, Case, ExpressionWrapper, F, Q, QuerySet, When
from django.db.models.functions import Now

from ingestion.batches.batch import Lease
from ingestion.models import Source, StreamPartition
from tenants.models import TenantStatus

#: Seconds between an owner's heartbeats: usually, while its sources bring nothing, and at most.
BEAT, IDLE_BEAT, LONGEST_BEAT = 1.0, 2.0, 3.0
#: The largest part of an owner's time that heartbeats take (one for a thousand sources is slow),
#: as long as that allows a heartbeat every LONGEST_BEAT.
_PART = 1 / 20


def _lease(partition: StreamPartition, owner: str, crashes: int = 0) -> Lease:
    return Lease(
        partition.pk,
        partition.source_id,
        partition.number,
        owner,
        partition.epoch + 1,
        partition.stream_id,
        partition.position,
        partition.began_at,
        crashes,
    )


def pause(took: float, *, is_idle: bool = False) -> float:
    """Seconds from the beginning of a heartbeat that took ``took`` seconds to that of the next.

    ``is_idle``: no source has brought messages recently. A lease outlasts several heartbeats,
    however long they take.
    """
    longest: float = max(BEAT, min(LONGEST_BEAT, settings.MILLRACE_LEASE_SECONDS / 6))
    return min(max(IDLE_BEAT if is_idle else BEAT, took / _PART), longest)


def new_owner() -> str:
    """A unique name for one slice: ``<host>:<pid>:<random>``."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def ready() -> Q:
    """Sources of active tenants whose table and warehouse exist in ClickHouse."""
    return Q(
        tenant__status=TenantStatus.ACTIVE,
        table__applied__gt=0,
        tenant__warehouse__applied__gt=0,
    )


def runnable() -> Q:
    """Sources that may be consumed: ready, not paused, and not held by the tenant's plan.

    A hold does not apply to HTTP sources: the plan admitted their events when they were received.
    """
    is_admitted = Q(tenant__ingestion_hold__isnull=True) | Q(connection__isnull=True)
    return Q(active=True) & ready() & is_admitted


def _of_sources(condition: Q) -> Q:
    return Q(source__in=Source.across_tenants.filter(condition))


def free(connection_id: int | None) -> Q:
    """Partitions on a connection (None: the events endpoint) that may be taken now."""
    due = runnable() & Q(connection_id=connection_id, retry_at__lte=Now())
    return _of_sources(due) & Q(lease_expires_at__lte=Now(), retired_at=None)


def take(
    connection_id: int | None,
    owner: str,
    limit: int,
    among: Q = Q(),  # noqa: B008 - never changed
) -> list[Lease]:
    """Lease up to ``limit`` free partitions, those that have waited longest first.

    Rows that another owner is taking are skipped. An owner that had not released a partition counts
    as dead (``crashes``).
    """
    with transaction.atomic():
        chosen = list(
            StreamPartition.across_tenants.select_for_update(skip_locked=True, of=("self",))
            .filter(free(connection_id), among)
            .order_by("lease_expires_at", "pk")[:limit]
        )
        StreamPartition.across_tenants.filter(pk__in=[row.pk for row in chosen]).update(
            lease_owner=owner,
            lease_expires_at=_expiry(),
            epoch=F("epoch") + 1,
            wanted_by="",
            wanted_at=None,
            crashes=Case(When(lease_owner="", then=F("crashes")), default=F("crashes") + 1),
        )
    return [_lease(partition, owner, _crashes(partition)) for partition in chosen]


def _crashes(partition: StreamPartition) -> int:
    """How many owners have died in a row, before a new one takes the partition.

    An owner gives its lease back; one that did not has died, or its process was suspended.
    """
    return partition.crashes + bool(partition.lease_owner)


def take_all(source: Source, owner: str) -> list[Lease] | None:
    """Lease all partitions of one source, paused or not; None if any of them is not free."""
    with transaction.atomic():
        chosen = list(
            locking(StreamPartition.across_tenants.all()).filter(
                source=source, lease_expires_at__lte=Now()
            )
        )
        if len(chosen) < source.partitions.count():
            return None
        StreamPartition.across_tenants.filter(pk__in=[row.pk for row in chosen]).update(
            lease_owner=owner, lease_expires_at=_expiry(), epoch=F("epoch") + 1
        )
    return [_lease(partition, owner) for partition in chosen]


def renew(owner: str, partitions: Collection[int]) -> set[int]:
    """Renew leases; returns the partitions that are still the owner's, and whose sources may run.

    Only leases with less than two thirds of their time left are renewed, to save writes.
    """
    # This runs every second, so it filters by the owner instead of by hundreds of keys, and drops
    # the model's ordering, which would join two more tables.
    own = StreamPartition.across_tenants.filter(lease_owner=owner).order_by()
    ending = Now() + timedelta(seconds=settings.MILLRACE_LEASE_SECONDS * 2 / 3)
    ends_soon = ExpressionWrapper(Q(lease_expires_at__lt=ending), output_field=BooleanField())
    ends_soon_by_pk = dict(own.filter(_of_sources(runnable())).values_list("pk", ends_soon))
    kept = ends_soon_by_pk.keys() & set(partitions)
    # Locking takes a transaction, which most heartbeats can do without.
    due = [pk for pk in kept if ends_soon_by_pk[pk]]
    if due:
        update_partitions(own.filter(pk__in=due), lease_expires_at=_expiry())
    return kept


def extend(owner: str, partitions: Collection[int]) -> None:
    """Renew the leases that are still the owner's, of paused sources too: for ``take_all``.

    A locked row is left for the next call: nobody else can take it while it is locked.
    """
    own = StreamPartition.across_tenants.filter(lease_owner=owner, pk__in=list(partitions))
    with transaction.atomic():
        free_rows = own.select_for_update(skip_locked=True, of=("self",), no_key=True)
        keys = list(free_rows.order_by("pk").values_list("pk", flat=True))
        StreamPartition.across_tenants.filter(pk__in=keys).update(lease_expires_at=_expiry())


def release(owner: str, partitions: Collection[int]) -> None:
    """Give back the leases that are still the owner's, so that others can take them at once.

    An owner that has taken one of the others assumed that this owner had died; that crash is
    subtracted again.
    """
    held = StreamPartition.across_tenants.filter(pk__in=partitions, lease_owner=owner)
    released = update_partitions(held, lease_owner="", lease_expires_at=Now())
    if released < len(partitions):
        wrongly_counted = StreamPartition.across_tenants.filter(pk__in=partitions, crashes__gt=0)
        update_partitions(wrongly_counted.exclude(lease_owner=""), crashes=F("crashes") - 1)


def locking(partitions: QuerySet[StreamPartition]) -> QuerySet[StreamPartition]:
    """The partitions, to be locked in the order of their keys.

    Every statement locks partitions in that order, so that no two wait for each other.
    """
    return partitions.select_for_update(of=("self",), no_key=True).order_by("pk")


def update_partitions(partitions: QuerySet[StreamPartition], **values: object) -> int:
    """Update several partitions, locked in the common order; returns how many."""
    with transaction.atomic():
        keys = list(locking(partitions).values_list("pk", flat=True))
        return StreamPartition.across_tenants.filter(pk__in=keys).update(**values)


def _expiry() -> object:
    return Now() + timedelta(seconds=settings.MILLRACE_LEASE_SECONDS)
