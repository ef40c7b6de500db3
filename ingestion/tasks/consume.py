"""Tasks that keep every active source consumed, however many workers there are."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from kombu.exceptions import OperationalError

from ingestion.api.spool import forget_receipts
from ingestion.consume import settle, turns
from ingestion.consume.lease import runnable
from ingestion.consume.measure import measure_connection as measure
from ingestion.consume.slice import Slice
from ingestion.consume.stopping import is_stopping
from ingestion.models import Source, StreamPartition

#: Ticks after which a slice that no worker had time for is forgotten: the next tick asks again.
FORGOTTEN_AFTER = 2
#: Seconds after which a measurement that no worker had time for is forgotten.
MEASURE_EXPIRES = 10


@shared_task(name="ingestion.tasks.keep_consuming")
def keep_consuming() -> None:
    """Ask for a slice of every connection that has something free to consume."""
    for connection_id in connections_with_work():
        request_slice(connection_id)


@shared_task(name="ingestion.tasks.consume_slice", acks_late=False)
def consume_slice(connection_id: int | None) -> None:
    """Consume one connection (None: the events endpoint) for a slice, then go on with another."""
    if is_stopping():
        return
    if Slice(connection_id, may_go_on=turns.may_go_on).run():
        request_slice(connection_id)


def request_slice(connection_id: int | None) -> None:
    """Queue a slice. Where the Celery broker does not answer, the next tick asks again."""
    tick = settings.CELERY_BEAT_SCHEDULE["keep-consuming"]["schedule"]
    try:
        consume_slice.apply_async(
            (connection_id,), retry=False, expires=max(1.0, FORGOTTEN_AFTER * tick)
        )
    except OperationalError:
        return


def connections_with_work() -> list[int | None]:
    """Connections on which a source may be consumed now and has a partition that nobody holds."""
    partitions = StreamPartition.objects.filter(source=OuterRef("pk"))
    return list(
        Source.objects.filter(runnable(), retry_at__lte=Now())
        .filter(Q(Exists(partitions.filter(lease_expires_at__lte=Now()))) | ~Exists(partitions))
        .order_by("connection")
        .values_list("connection", flat=True)
        .distinct()
    )


@shared_task(name="ingestion.tasks.measure_lag")
def measure_lag() -> None:
    """Ask for a measurement of every connection in use; prune old batches and receipts."""
    used = Source.objects.filter(runnable(), connection__isnull=False)
    for connection_id in used.order_by().values_list("connection", flat=True).distinct():
        try:
            measure_connection.apply_async((connection_id,), retry=False, expires=MEASURE_EXPIRES)
        except OperationalError:
            return
    settle.prune()
    forget_receipts()


@shared_task(name="ingestion.tasks.measure_connection")
def measure_connection(connection_id: int) -> None:
    """Store the watermarks of every source on a connection."""
    measure(connection_id)
