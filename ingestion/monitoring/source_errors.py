"""Notes errors at their source. Only that source backs off, for longer with each failure."""

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


#: The most seconds until a missing topic or queue is looked for again. Short, because newcomers
#: often create it after the source, and wait for it.
MISSING_RETRY = 5
#: The same for a broker or ClickHouse that does not answer. Short, because all of its sources wait,
#: and should go on soon after it is back.
AWAY_RETRY = 10


def note(source: Source, error: str, longest: int = RETRY_AFTER[-1]) -> None:
    """Note that the source failed; it is not consumed for up to ``longest`` seconds.

    A repeated error is logged as a warning only once: while a broker is down, a thousand sources
    repeat theirs every few seconds.
    """
    row = Source.across_tenants.filter(pk=source.pk).values_list("attempts", "error").first()
    attempts, last = row or (0, "")
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
    """Note that the source failed with ``error``, and for how long it backs off.

    A lost lease is no failure: another owner goes on. Neither is a statement that ClickHouse
    refuses while the table is being altered: the batch is repeated with the version that it names,
    or was not announced.
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
    """Whether the table is being altered, or has been since the source was read."""
    row = Table.across_tenants.filter(pk=source.table_id).values_list("version", "state").first()
    return row is not None and (row[0] != source.table.version or row[1] == ProvisionState.PENDING)


def overcome(source: Source) -> None:
    """Reset the count of failures, because a batch has landed. The last error stays readable."""
    if source.attempts:
        Source.across_tenants.filter(pk=source.pk).update(attempts=0)
        source.attempts = 0


def tell(source: Source, error: str) -> None:
    """Note an error at the source that an operator should see; consuming goes on."""
    log.error("Source %s: %s", source, error)
    Source.across_tenants.filter(pk=source.pk).update(error=error, error_at=Now())


def note_gap(source: Source, number: int, start: int, end: int) -> None:
    """Note that the broker deleted the offsets ``[start, end)`` before they were read."""
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
