"""Accepts events: they are durable in Postgres when ``accept`` returns, and land soon after."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import zstandard
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from ingestion.models import EventsReceipt, Source, StreamPartition
from tenants.rest.problem import Problem, not_found

#: How many events and bytes of one tenant may be waiting. More means that its tables do not keep
#: up, so senders must wait.
WAITING_EVENTS, WAITING_BYTES = 2_000_000, 1024**3
#: Seconds after which a sender should try again.
RETRY_AFTER = 5
#: How long a sender may repeat a request with the same Idempotency-Key.
RECEIPTS_KEPT = timedelta(days=1)

_ACCEPT = """
WITH taken AS (
    UPDATE ingestion_streampartition
    SET high_watermark = high_watermark + %(count)s,
        spooled_bytes = spooled_bytes + octet_length(%(body)s),
        measured_at = statement_timestamp(),
        caught_up_at = CASE WHEN position >= high_watermark THEN statement_timestamp()
                            ELSE caught_up_at END
    WHERE source_id = %(source)s AND number = 0
    RETURNING id, high_watermark - %(count)s AS first_offset
)
INSERT INTO ingestion_spooledevents
    (partition_id, first_offset, count, body, size, received_at, headers)
SELECT id, first_offset, %(count)s, %(body)s, %(size)s, clock_timestamp(), %(headers)s FROM taken
RETURNING partition_id, first_offset
"""


@dataclass(frozen=True, slots=True)
class Accepted:
    """``count`` accepted events of one partition, with the offsets from ``first_offset`` on.

    ``replayed``: an earlier request with the same Idempotency-Key had stored them already.
    """

    partition_id: int
    first_offset: int
    count: int
    replayed: bool = False

    @property
    def offsets(self) -> range:
        return range(self.first_offset, self.first_offset + self.count)

    @property
    def last_offset(self) -> int:
        return self.first_offset + self.count - 1


def accept(source: Source, events: list[bytes], key: str = "", headers: str = "") -> Accepted:
    """Store the events durably, in one commit.

    ``headers``: the chosen headers of the request (``connectors.http.metadata.kept``).
    With a ``key``, a repeated request is not stored again and gets the answer of the first. Raises
    Problem 429 if too much is waiting, 422 if the key was used for other events, 404 if the source
    was deleted meanwhile.
    """
    try:
        return _accept(source, b"\n".join(events), len(events), key, headers)
    except IntegrityError:
        if Source.across_tenants.filter(pk=source.pk).exists():
            raise
        raise not_found(f"There is no source {source.name!r}.") from None


def _accept(source: Source, lines: bytes, count: int, key: str, headers: str) -> Accepted:
    if not key:
        return _spool(source, count, lines, headers)
    digest = hashlib.sha256(lines).digest()
    with transaction.atomic():
        partition = _locked_partition(source)
        receipt = EventsReceipt.across_tenants.filter(
            partition=partition, idempotency_key=key
        ).first()
        if receipt is not None:
            return _replay(receipt, digest)
        accepted = _spool(source, count, lines, headers)
        EventsReceipt.objects.create(
            partition=partition,
            idempotency_key=key,
            sha256=digest,
            first_offset=accepted.first_offset,
            count=accepted.count,
        )
    return accepted


def forget_receipts() -> int:
    """Delete receipts older than RECEIPTS_KEPT; returns how many were deleted."""
    old = EventsReceipt.across_tenants.filter(received_at__lt=timezone.now() - RECEIPTS_KEPT)
    return old.delete()[0]


def _replay(receipt: EventsReceipt, digest: bytes) -> Accepted:
    if bytes(receipt.sha256) != digest:
        raise Problem(
            422,
            "idempotency_key_reused",
            "This Idempotency-Key was used for other events. Nothing was stored. Give each request "
            "its own key, and repeat a request unchanged.",
        )
    return Accepted(receipt.partition_id, receipt.first_offset, receipt.count, replayed=True)


def _locked_partition(source: Source) -> StreamPartition:
    StreamPartition.across_tenants.get_or_create(source=source, number=0, defaults={"position": 0})
    return StreamPartition.across_tenants.select_for_update().get(source=source, number=0)


def _spool(source: Source, count: int, lines: bytes, headers: str) -> Accepted:
    _check_room(source.tenant_id)
    body = zstandard.compress(lines, 1)
    parameters: dict[str, Any] = {
        "source": source.pk,
        "count": count,
        "body": body,
        "size": len(lines),
        "headers": headers,
    }
    with connection.cursor() as cursor:
        cursor.execute(_ACCEPT, parameters)
        row = cursor.fetchone()
        if row is None:
            StreamPartition.across_tenants.get_or_create(
                source=source, number=0, defaults={"position": 0}
            )
            cursor.execute(_ACCEPT, parameters)
            row = cursor.fetchone()
    return Accepted(row[0], row[1], count)


def _check_room(tenant_id: int) -> None:
    waiting = StreamPartition.across_tenants.filter(
        source__tenant=tenant_id, source__connection=None
    ).aggregate(
        events=Sum(F("high_watermark") - Coalesce(F("position"), 0), default=0),
        bytes=Sum("spooled_bytes", default=0),
    )
    if waiting["events"] >= WAITING_EVENTS or waiting["bytes"] >= WAITING_BYTES:
        raise Problem(
            429,
            "spool_full",
            f"{waiting['events']} of your events are waiting to land. Send these again later.",
            headers={"Retry-After": str(RETRY_AFTER)},
        )


def wait(accepted: Accepted, seconds: float, every: float = 0.03) -> bool:
    """Wait up to ``seconds``; returns whether each event is in the table or in quarantine.

    Checks again ``every`` so many seconds.
    """
    deadline = time.monotonic() + seconds
    landed = StreamPartition.across_tenants.filter(
        pk=accepted.partition_id, position__gt=accepted.last_offset
    )
    while not landed.exists():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every)
    return True
