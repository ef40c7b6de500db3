"""What broke, written at the source: it alone backs off, and for longer each time."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from ingestion.errors import BrokerUnreachable, IngestionError, LeaseLost, StreamMissing
from ingestion.models import Gap, GapReason, Source, StreamPartition, Table
from tenants.models import ProvisionState
from tenants.models.provisioned import RETRY_AFTER
from tenants.warehouse.errors import StatementFailed, WarehouseError, WarehouseUnreachable

log = logging.getLogger(__name__)


#: Seconds after which at the latest a missing topic or queue is looked for again: a newcomer makes
#: it after the source, and waits.
MISSING_RETRY = 5
#: The same of a broker or engine that does not answer: all of its sources wait, and no longer than
#: it is away.
AWAY_RETRY = 10


def note(source: Source, error: str, longest: int = RETRY_AFTER[-1]) -> None:
    """The source failed: say why, and don't consume it for up to ``longest`` seconds.

    The log has it once for as long as nothing else happens: with a broker away, a thousand sources
    say the same every few seconds.
    """
    found = Source.across_tenants.filter(pk=source.pk).values_list("attempts", "error").first()
    attempts, last = found or (0, "")
    is_known = attempts > 0 and error == last
    log.log(logging.DEBUG if is_known else logging.WARNING, "Source %s: %s", source, error)
    wait = min(longest, RETRY_AFTER[min(attempts, len(RETRY_AFTER) - 1)])
    Source.across_tenants.filter(pk=source.pk).update(
        error=error,
        error_at=Now(),
        attempts=F("attempts") + 1,
        retry_at=Now() + timedelta(seconds=wait),
    )


def note_exception(source: Source, error: BaseException) -> None:
    """The source failed by ``error``. A lost lease is nobody's failure: another owner goes on.

    Nor is what ClickHouse refuses while the table is altered: it is repeated by the version that
    the batch names, or not announced again.
    """
    if isinstance(error, LeaseLost):
        log.warning("Source %s: %s", source, error)
    elif isinstance(error, StatementFailed) and _is_altered(source):
        log.info("Source %s: its table is being altered (%s)", source, error)
    elif isinstance(error, StreamMissing):
        note(source, str(error), MISSING_RETRY)
    elif isinstance(error, BrokerUnreachable | WarehouseUnreachable):
        note(source, str(error), AWAY_RETRY)
    elif isinstance(error, IngestionError | WarehouseError):
        note(source, str(error))
    else:
        log.error("Source %s failed unexpectedly.", source, exc_info=error)
        note(source, f"{type(error).__name__}: {error}")


def _is_altered(source: Source) -> bool:
    """Whether the table is being altered, or was since the source was read."""
    now = Table.across_tenants.filter(pk=source.table_id).values_list("version", "state").first()
    return now is not None and (now[0] != source.table.version or now[1] == ProvisionState.PENDING)


def overcome(source: Source) -> None:
    """Something landed: the next failure begins to count anew. What broke last stays to be read."""
    if source.attempts:
        Source.across_tenants.filter(pk=source.pk).update(attempts=0)
        source.attempts = 0


def tell(source: Source, error: str) -> None:
    """Say at the source what somebody should know; it is consumed on."""
    log.error("Source %s: %s", source, error)
    Source.across_tenants.filter(pk=source.pk).update(error=error, error_at=Now())


def note_gap(source: Source, number: int, start: int, end: int) -> None:
    """Offsets ``[start, end)`` were deleted by the broker before they were read."""
    error = (
        f"Partition {number}: the broker had deleted offsets {start} to {end - 1} before they were "
        f"read (retention), {end - start} in all. Reading went on at {end}. Give the stream a "
        "longer retention, or the ingest queue more workers."
    )
    tell(source, error)
    partition = StreamPartition.across_tenants.get(source=source, number=number)
    with transaction.atomic():
        StreamPartition.across_tenants.filter(pk=partition.pk).update(
            lost=F("lost") + (end - start)
        )
        Gap.objects.create(
            partition=partition,
            incarnation=partition.incarnation,
            from_offset=start,
            to_offset=end,
            reason=GapReason.DELETED,
        )
