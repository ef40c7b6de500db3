"""Selectors: is each source running, how far behind, how fresh, what broke."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.db.models import Case, Count, F, Max, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from ingestion.models import Source
from tenants.models import ProvisionState, TenantStatus

#: A source is still running while one slice has ended and the next is about to begin.
BETWEEN_SLICES = timedelta(seconds=5)


class SourceState(StrEnum):
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source at one time.

    ``state``: ``running`` (a worker holds its lease, or did a moment ago), ``waiting`` (it should
    run and no worker has it, or its table is not ready), ``paused`` (by its switch, or its tenant
    is suspended), ``failing`` (the last attempt failed; it is tried again at ``retry_at``).
    ``lag``: messages that the broker had, when last measured, and the table has not.
    ``freshness_seconds``: age of the newest event in the table; None before the first.
    ``lost``: offsets that the broker had deleted before it was their turn.
    ``last_error``: what broke last, kept after it was overcome; ``error_at`` says when.
    """

    source_id: int
    tenant: str
    source: str
    kind: str
    table: str
    state: SourceState
    lag: int
    freshness_seconds: float | None
    landed: int
    quarantined: int
    lost: int
    partitions: int
    last_landed_at: datetime | None
    last_error: str
    error_at: datetime | None
    retry_at: datetime | None


def source_status(
    sources: QuerySet[Source] | None = None, *, now: datetime | None = None
) -> list[SourceStatus]:
    """The status of every source, or of those given, by tenant and name. One query."""
    chosen = Source.objects.all() if sources is None else sources
    at = now or timezone.now()
    return [_status(source, at) for source in _measured(chosen, at)]


def _measured(sources: QuerySet[Source], now: datetime) -> QuerySet[Source]:
    behind = F("partitions__high_watermark") - Greatest(
        Coalesce(F("partitions__position"), Value(0)), F("partitions__low_watermark")
    )
    return (
        sources.select_related("tenant", "table", "connection")
        .annotate(
            _lag=Coalesce(Sum(Greatest(behind, Value(0))), Value(0)),
            _landed=Coalesce(Sum("partitions__landed"), Value(0)),
            _quarantined=Coalesce(Sum("partitions__quarantined"), Value(0)),
            _lost=Coalesce(Sum("partitions__lost"), Value(0)),
            _partitions=Count("partitions"),
            _event_at=Max("partitions__last_event_at"),
            _landed_at=Max("partitions__last_landed_at"),
            _leased=Count(
                "partitions",
                filter=Q(partitions__lease_expires_at__gt=now - BETWEEN_SLICES)
                & Q(partitions__epoch__gt=0),
            ),
            _mode=Case(
                When(Q(active=False) | ~Q(tenant__status=TenantStatus.ACTIVE), Value("paused")),
                When(attempts__gt=0, then=Value("failing")),
                When(~Q(table__state=ProvisionState.READY) | Q(_leased=0), Value("waiting")),
                default=Value("running"),
            ),
        )
        .order_by("tenant__slug", "name")
    )


def _status(source: Source, now: datetime) -> SourceStatus:
    found = vars(source)  # the annotations
    event_at: datetime | None = found["_event_at"]
    state = SourceState(found["_mode"])
    return SourceStatus(
        source_id=source.pk,
        tenant=source.tenant.slug,
        source=source.name,
        kind=source.kind,
        table=source.table.name,
        state=state,
        lag=found["_lag"],
        freshness_seconds=None
        if event_at is None
        else max(0.0, round((now - event_at).total_seconds(), 3)),
        landed=found["_landed"],
        quarantined=found["_quarantined"],
        lost=found["_lost"],
        partitions=found["_partitions"],
        last_landed_at=found["_landed_at"],
        last_error=source.error,
        error_at=source.error_at,
        retry_at=source.retry_at if state is SourceState.FAILING else None,
    )
