"""Tasks that keep every active source consumed, with any number of workers."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from kombu.exceptions import OperationalError

from ingestion.batches.compaction import fold
from ingestion.consume.discovery import measure_connection as measure
from ingestion.consume.discovery import note_lag
from ingestion.consume.loop import Slice
from ingestion.consume.shutdown import is_stopping
from ingestion.leases import rebalance, yielding
from ingestion.leases.lease import new_owner, ready, runnable
from ingestion.models import Connection, Source, StreamPartition
from ingestion.monitoring import throughput
from ingestion.services.events import forget_receipts

#: Ticks after which a queued slice expires if no worker has begun it: the next tick queues another.
FORGOTTEN_AFTER = 2
#: Seconds after which a queued measurement expires if no worker has begun it.
MEASURE_EXPIRES = 10


@shared_task(name="ingestion.tasks.keep_consuming")
def keep_consuming() -> None:
    """Queue a slice for each connection that has free partitions, and several if it is behind.

    A connection that is behind may have a share for a process that does not read it yet. Which
    worker gets a slice can't be chosen, so one slice more is queued than processes read the
    connection.
    """
    for connection_id in connections_with_work():
        request_slice(connection_id)
    for connection_id, processes in rebalance.behind().items():
        for _ in range(processes + 1):
            request_slice(connection_id, for_share=True)


@shared_task(name="ingestion.tasks.consume_slice", acks_late=False)
def consume_slice(connection_id: int | None, for_share: bool = False) -> None:
    """Consume one connection (None: the events endpoint) for a slice, then queue the next one.

    ``for_share``: only if another process reads the connection too, and this one may take a share.
    """
    owner = new_owner()
    if is_stopping() or (for_share and rebalance.is_alone(connection_id, owner)):
        return
    if not rebalance.may_begin(connection_id, owner, is_stopping):
        return
    try:
        goes_on = Slice(connection_id, may_go_on=yielding.may_go_on).run()
    except Connection.DoesNotExist:  # it was deleted after this slice was queued
        return
    if goes_on:
        request_slice(connection_id)


def request_slice(connection_id: int | None, *, for_share: bool = False) -> None:
    """Queue a slice. If the Celery broker does not answer, the next tick tries again."""
    tick = settings.CELERY_BEAT_SCHEDULE["keep-consuming"]["schedule"]
    try:
        consume_slice.apply_async(
            (connection_id, True) if for_share else (connection_id,),
            retry=False,
            expires=max(1.0, FORGOTTEN_AFTER * tick),
        )
    except OperationalError:
        return


def connections_with_work() -> list[int | None]:
    """Connections with a source that may be consumed now and has a free partition, or none yet."""
    partitions = StreamPartition.across_tenants.filter(source=OuterRef("pk"))
    free = partitions.filter(lease_expires_at__lte=Now(), retired_at=None)
    return list(
        Source.across_tenants.filter(runnable(), retry_at__lte=Now())
        .filter(Q(Exists(free)) | ~Exists(partitions))
        .order_by("connection")
        .values_list("connection", flat=True)
        .distinct()
    )


@shared_task(name="ingestion.tasks.measure_lag")
def measure_lag() -> None:
    """Store each source's lag, queue new measurements, fold old batches and prune old minutes."""
    note_lag()
    used = Source.across_tenants.filter(ready(), connection__isnull=False)
    for connection_id in used.order_by().values_list("connection", flat=True).distinct():
        try:
            measure_connection.apply_async((connection_id,), retry=False, expires=MEASURE_EXPIRES)
        except OperationalError:
            return
    fold()
    throughput.prune()
    forget_receipts()


@shared_task(name="ingestion.tasks.measure_connection")
def measure_connection(connection_id: int) -> None:
    """Store the watermarks of every source on a connection."""
    measure(connection_id)
