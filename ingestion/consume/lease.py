"""Leases: who may read a stream partition, until when, in which epoch. Postgres' clock counts.

An owner renews at each heartbeat and releases at the end. One that stops doing so loses the
partition when its lease expires, and from then on every statement of its own finds no row.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from ingestion.models import Source, StreamPartition
from tenants.models import TenantStatus


@dataclass(frozen=True, slots=True)
class Lease:
    """One partition, held by ``owner`` in ``epoch``."""

    partition_id: int
    source_id: int
    number: int
    owner: str
    epoch: int


def new_owner() -> str:
    """A name for one slice: where it runs, and a part that no other slice has."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def runnable() -> Q:
    """Sources that may be consumed: active, of an active tenant, table and warehouse ready."""
    return Q(
        active=True,
        tenant__status=TenantStatus.ACTIVE,
        table__applied__gt=0,
        tenant__warehouse__applied__gt=0,
    )


def _of_sources(condition: Q) -> Q:
    return Q(source__in=Source.objects.filter(condition))


def free(connection_id: int | None) -> Q:
    """Partitions on a connection (None: the events endpoint) that may be taken now."""
    due = runnable() & Q(connection_id=connection_id, retry_at__lte=Now())
    return _of_sources(due) & Q(lease_expires_at__lte=Now())


def take(connection_id: int | None, owner: str, limit: int) -> list[Lease]:
    """Lease up to ``limit`` free partitions, those first that have waited longest."""
    with transaction.atomic():
        chosen = list(
            StreamPartition.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(free(connection_id))
            .order_by("lease_expires_at", "pk")[:limit]
        )
        StreamPartition.objects.filter(pk__in=[one.pk for one in chosen]).update(
            lease_owner=owner, lease_expires_at=_expiry(), epoch=F("epoch") + 1
        )
    return [Lease(one.pk, one.source_id, one.number, owner, one.epoch + 1) for one in chosen]


def renew(owner: str, partitions: Collection[int]) -> set[int]:
    """Which of the partitions are still the owner's, and of sources that may still run."""
    with transaction.atomic():
        kept = set(
            StreamPartition.objects.select_for_update(of=("self",))
            .filter(_of_sources(runnable()), pk__in=partitions, lease_owner=owner)
            .order_by("pk")
            .values_list("pk", flat=True)
        )
        StreamPartition.objects.filter(pk__in=kept).update(lease_expires_at=_expiry())
    return kept


def release(owner: str, partitions: Collection[int]) -> None:
    """Give back what is still the owner's, for the next one to take at once."""
    StreamPartition.objects.filter(pk__in=partitions, lease_owner=owner).update(
        lease_owner="", lease_expires_at=Now()
    )


def _expiry() -> object:
    return Now() + timedelta(seconds=settings.MILLRACE_LEASE_SECONDS)
