"""Selectors: whether each source is running, how far behind and how fresh it is, what broke."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.db.models import Case, Count, F, Max, Min, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from ingestion.models import Source
from ingestion.monitoring import throughput
from ingestion.monitoring.throughput import RecentThroughput
from tenants.models import ProvisionState, TenantStatus

#: How long a source still counts as running after a slice has ended: the next is about to begin.
BETWEEN_SLICES = timedelta(seconds=5)

#: The tenant's plan admits no more messages from brokers.
_HELD = Q(tenant__ingestion_hold__isnull=False) & Q(connection__isnull=False)


class SourceState(StrEnum):
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """The status of one source at one time.

    ``state``: ``running`` (a worker holds its lease, or did a moment ago), ``waiting`` (it should
    run, but no worker has it or its table is not ready), ``paused`` (it is switched off, or its
    tenant is suspended or has reached a limit of its plan), ``failing`` (the last attempt failed;
    the next is at ``retry_at``). ``paused_reason``: why Millrace itself paused the source; empty if
    a person did. ``lag``: messages that the broker had when last measured, and that have not
    landed. ``lag_seconds``: an upper limit of how long the oldest of them has waited: the time
    since the newest event in the table, or since nothing waited, whichever was later. With several
    partitions, the largest. 0 without lag; None if nothing has landed yet, since it is unknown
    then. ``freshness_seconds``: age of the newest event in the table; None before the first.
    ``freshness_p50``, ``freshness_p95``: age of events in seconds when they landed. Like
    ``events_per_second`` and ``bytes_per_second`` they cover the last minutes
    (``RecentThroughput``). ``lost``: offsets that the broker had deleted before they were read.
    ``filter``: its filter, empty if it keeps all messages; ``filtered``: messages that it left out.
    ``unidentified``: messages of a RabbitMQ queue without a message_id. If one is delivered again
    after its batch was settled, it can't be distinguished from a new message, and may be doubled.
    ``last_error``: the last error, kept after recovery; ``error_at`` says when it happened.
    ``attempts``: failures in a row; 0 as soon as a batch lands.
    """

    source_id: int
    tenant: str
    source: str
    kind: str
    table: str
    state: SourceState
    paused_reason: str
    lag: int
    lag_seconds: float | None
    freshness_seconds: float | None
    freshness_p50: float | None
    freshness_p95: float | None
    events_per_second: float
    bytes_per_second: float
    landed: int
    quarantined: int
    filtered: int
    filter: str
    bytes: int
    lost: int
    unidentified: int
    partitions: int
    last_landed_at: datetime | None
    last_error: str
    error_at: datetime | None
    retry_at: datetime | None
    attempts: int


def source_status(
    sources: QuerySet[Source] | None = None, *, now: datetime | None = None
) -> list[SourceStatus]:
    """The status of ``sources``, by default of all, ordered by tenant and name. Two queries."""
    chosen = Source.across_tenants.all() if sources is None else sources
    at = now or timezone.now()
    measured = list(_measured(chosen, at))
    recent = throughput.recent(measured, at)
    return [_status(source, recent[source.pk], at) for source in measured]


def _measured(sources: QuerySet[Source], now: datetime) -> QuerySet[Source]:
    reached = Greatest(
        Coalesce(F("partitions__position"), Value(0)), F("partitions__low_watermark")
    )
    behind = F("partitions__high_watermark") - reached
    return (
        sources.select_related("tenant__ingestion_hold", "table", "connection")
        .defer("connection__password", "connection__client_key")
        .annotate(
            _lag=Coalesce(Sum(Greatest(behind, Value(0))), Value(0)),
            _waiting_since=Min(
                # Postgres' GREATEST ignores NULLs.
                Greatest("partitions__last_event_at", "partitions__caught_up_at"),
                filter=Q(partitions__high_watermark__gt=reached),
            ),
            _landed=Coalesce(Sum("partitions__landed"), Value(0)),
            _quarantined=Coalesce(Sum("partitions__quarantined"), Value(0)),
            _filtered=Coalesce(Sum("partitions__filtered"), Value(0)),
            _bytes=Coalesce(Sum("partitions__bytes"), Value(0)),
            _lost=Coalesce(Sum("partitions__lost"), Value(0)),
            _unidentified=Coalesce(Sum("partitions__unidentified"), Value(0)),
            _partitions=Count("partitions"),
            _event_at=Max("partitions__last_event_at"),
            _landed_at=Max("partitions__last_landed_at"),
            _leased=Count(
                "partitions",
                filter=Q(partitions__lease_expires_at__gt=now - BETWEEN_SLICES)
                & Q(partitions__epoch__gt=0),
            ),
            _mode=Case(
                When(
                    Q(active=False) | ~Q(tenant__status=TenantStatus.ACTIVE) | _HELD,
                    Value("paused"),
                ),
                When(attempts__gt=0, then=Value("failing")),
                When(~Q(table__state=ProvisionState.READY) | Q(_leased=0), Value("waiting")),
                default=Value("running"),
            ),
        )
        .order_by("tenant__slug", "name")
    )


def _status(source: Source, recent: RecentThroughput, now: datetime) -> SourceStatus:
    annotations = vars(source)
    state = SourceState(annotations["_mode"])
    return SourceStatus(
        source_id=source.pk,
        tenant=source.tenant.slug,
        source=source.name,
        kind=source.kind,
        table=source.table.name,
        state=state,
        paused_reason=_paused_reason(source),
        lag=annotations["_lag"],
        lag_seconds=_age(annotations["_waiting_since"], now) if annotations["_lag"] else 0.0,
        freshness_seconds=_age(annotations["_event_at"], now),
        **asdict(recent),
        landed=annotations["_landed"],
        quarantined=annotations["_quarantined"],
        filtered=annotations["_filtered"],
        filter=source.filter,
        bytes=annotations["_bytes"],
        lost=annotations["_lost"],
        unidentified=annotations["_unidentified"],
        partitions=annotations["_partitions"],
        last_landed_at=annotations["_landed_at"],
        last_error=source.error,
        error_at=source.error_at,
        retry_at=source.retry_at if state is SourceState.FAILING else None,
        attempts=source.attempts,
    )


def _paused_reason(source: Source) -> str:
    if not source.active:
        return source.paused_reason
    hold = getattr(source.tenant, "ingestion_hold", None)
    return hold.reason if hold is not None and source.connection_id is not None else ""


def _age(since: datetime | None, now: datetime) -> float | None:
    return None if since is None else max(0.0, round((now - since).total_seconds(), 3))
