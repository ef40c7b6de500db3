"""Tasks that keep every active source consumed, however many workers there are."""

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

#: Ticks after which a slice that no worker had time for is forgotten: the next tick asks again.
FORGOTTEN_AFTER = 2
#: Seconds after which a measurement that no worker had time for is forgotten.
MEASURE_EXPIRES = 10


@shared_task(name="ingestion.tasks.keep_consuming")
def keep_consuming() -> None:
    """Ask for a slice of every connection that has something free, or that is behind.

    What is behind may have a part for a process that has none of it yet: one more slice than
    processes read it, so that one reaches each, since nobody can say which worker gets it.
    """
    for connection_id in connections_with_work():
        request_slice(connection_id)
    for connection_id, processes in rebalance.behind().items():
        for _ in range(processes + 1):
            request_slice(connection_id, for_share=True)


@shared_task(name="ingestion.tasks.consume_slice", acks_late=False)
def consume_slice(connection_id: int | None, for_share: bool = False) -> None:
    """Consume one connection (None: the events endpoint) for a slice, then go on with another.

    ``for_share``: only if another process reads it too, of which this one could have a part.
    """
    owner = new_owner()
    if is_stopping() or (for_share and rebalance.is_alone(connection_id, owner)):
        return
    if not rebalance.may_begin(connection_id, owner, is_stopping):
        return
    try:
        goes_on = Slice(connection_id, may_go_on=yielding.may_go_on).run()
    except Connection.DoesNotExist:  # it was deleted since this slice was asked for
        return
    if goes_on:
        request_slice(connection_id)


def request_slice(connection_id: int | None, *, for_share: bool = False) -> None:
    """Queue a slice. Where the Celery broker does not answer, the next tick asks again."""
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
    """Connections on which a source may be consumed now and has a partition that nobody holds."""
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
    """Note how far behind each source is, ask for new measurements, fold and prune what is old."""
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
