"""Leases: who may read a stream partition, until when, in which epoch. Postgres' clock counts.

An owner renews at each heartbeat and releases at the end. One that stops doing so loses the
partition when its lease expires, and from then on every statement of its own finds no row.
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

#: Seconds between an owner's heartbeats, while its sources bring nothing, and the most where one
#: takes long, as for a thousand sources: then it takes a twentieth of the owner's time at the most.
BEAT, IDLE_BEAT, LONGEST_BEAT = 1.0, 2.0, 3.0
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
    """Seconds from the begin of a heartbeat that took so many seconds to that of the next.

    ``is_idle``: no source has brought anything of late. A lease outlasts several, whatever they
    take.
    """
    longest: float = max(BEAT, min(LONGEST_BEAT, settings.MILLRACE_LEASE_SECONDS / 6))
    return min(max(IDLE_BEAT if is_idle else BEAT, took / _PART), longest)


def new_owner() -> str:
    """A name for one slice: where it runs, and a part that no other slice has."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def ready() -> Q:
    """Sources that could be consumed: of an active tenant, table and warehouse ready."""
    return Q(
        tenant__status=TenantStatus.ACTIVE,
        table__applied__gt=0,
        tenant__warehouse__applied__gt=0,
    )


def runnable() -> Q:
    """Sources that may be consumed: ready, not paused, and not held by the plan of the tenant.

    What came over HTTP was let in by the plan when it came.
    """
    let_in = Q(tenant__ingestion_hold__isnull=True) | Q(connection__isnull=True)
    return Q(active=True) & ready() & let_in


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
    """Lease up to ``limit`` free partitions, those first that have waited longest."""
    with transaction.atomic():
        chosen = list(
            StreamPartition.across_tenants.select_for_update(skip_locked=True, of=("self",))
            .filter(free(connection_id), among)
            .order_by("lease_expires_at", "pk")[:limit]
        )
        StreamPartition.across_tenants.filter(pk__in=[one.pk for one in chosen]).update(
            lease_owner=owner,
            lease_expires_at=_expiry(),
            epoch=F("epoch") + 1,
            wanted_by="",
            wanted_at=None,
            crashes=Case(When(lease_owner="", then=F("crashes")), default=F("crashes") + 1),
        )
    return [_lease(one, owner, _crashes(one)) for one in chosen]


def _crashes(partition: StreamPartition) -> int:
    """An owner that lives gives its lease back; one that did not has died, or was paused."""
    return partition.crashes + bool(partition.lease_owner)


def take_all(source: Source, owner: str) -> list[Lease] | None:
    """Lease all partitions of one source, whether it is paused or not; None: one is not free."""
    with transaction.atomic():
        chosen = list(
            locking(StreamPartition.across_tenants.all()).filter(
                source=source, lease_expires_at__lte=Now()
            )
        )
        if len(chosen) < source.partitions.count():
            return None
        StreamPartition.across_tenants.filter(pk__in=[one.pk for one in chosen]).update(
            lease_owner=owner, lease_expires_at=_expiry(), epoch=F("epoch") + 1
        )
    return [_lease(one, owner) for one in chosen]


def renew(owner: str, partitions: Collection[int]) -> set[int]:
    """Which of the partitions are still the owner's, and of sources that may still run.

    What would expire within two thirds of a lease's time is renewed; the others were of late.
    """
    # Asked each second, so by owner and not by hundreds of numbers, and without the model's order,
    # which joins two tables more.
    own = StreamPartition.across_tenants.filter(lease_owner=owner).order_by()
    ending = Now() + timedelta(seconds=settings.MILLRACE_LEASE_SECONDS * 2 / 3)
    ends_soon = ExpressionWrapper(Q(lease_expires_at__lt=ending), output_field=BooleanField())
    runs = own.filter(_of_sources(runnable())).values_list("pk", ends_soon)
    found = dict(runs)
    kept = found.keys() & set(partitions)
    # Locking takes a transaction, which most heartbeats can do without.
    due = [pk for pk in kept if found[pk]]
    if due:
        update_partitions(own.filter(pk__in=due), lease_expires_at=_expiry())
    return kept


def extend(owner: str, partitions: Collection[int]) -> None:
    """Renew those that are still the owner's, of paused sources too: what ``take_all`` has taken.

    A row that is locked is left for the next time: nobody else can take it meanwhile.
    """
    own = StreamPartition.across_tenants.filter(lease_owner=owner, pk__in=list(partitions))
    with transaction.atomic():
        free_rows = own.select_for_update(skip_locked=True, of=("self",), no_key=True)
        found = list(free_rows.order_by("pk").values_list("pk", flat=True))
        StreamPartition.across_tenants.filter(pk__in=found).update(lease_expires_at=_expiry())


def release(owner: str, partitions: Collection[int]) -> None:
    """Give back what is still the owner's, for the next one to take at once.

    Whoever took the others held this owner for dead, which it is not.
    """
    held = StreamPartition.across_tenants.filter(pk__in=partitions, lease_owner=owner)
    given = update_partitions(held, lease_owner="", lease_expires_at=Now())
    if given < len(partitions):
        held_for_dead = StreamPartition.across_tenants.filter(pk__in=partitions, crashes__gt=0)
        update_partitions(held_for_dead.exclude(lease_owner=""), crashes=F("crashes") - 1)


def locking(partitions: QuerySet[StreamPartition]) -> QuerySet[StreamPartition]:
    """The same, locked in the order in which everybody locks them: else two wait for each other."""
    return partitions.select_for_update(of=("self",), no_key=True).order_by("pk")


def update_partitions(partitions: QuerySet[StreamPartition], **values: object) -> int:
    """Update several, locked in their order; returns how many."""
    with transaction.atomic():
        found = list(locking(partitions).values_list("pk", flat=True))
        return StreamPartition.across_tenants.filter(pk__in=found).update(**values)


def _expiry() -> object:
    return Now() + timedelta(seconds=settings.MILLRACE_LEASE_SECONDS)
