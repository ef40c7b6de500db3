"""Taking events safely: they are in Postgres when this returns, and on their way to the table."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import zstandard
from django.db import connection
from django.db.models import F, Sum
from django.db.models.functions import Coalesce

from ingestion.models import Source, StreamPartition
from tenants.api.problem import Problem

#: What one tenant may have waiting. Beyond it the table does not keep up, and senders must wait.
WAITING_EVENTS, WAITING_BYTES = 2_000_000, 1024**3
#: Seconds after which a sender should try again.
RETRY_AFTER = 5

_ACCEPT = """
WITH taken AS (
    UPDATE ingestion_streampartition
    SET high_watermark = high_watermark + %(count)s,
        spooled_bytes = spooled_bytes + octet_length(%(body)s),
        measured_at = statement_timestamp()
    WHERE source_id = %(source)s AND number = 0
    RETURNING id, high_watermark - %(count)s AS first_offset
)
INSERT INTO ingestion_spooledevents (partition_id, first_offset, count, body, size, received_at)
SELECT id, first_offset, %(count)s, %(body)s, %(size)s, clock_timestamp() FROM taken
RETURNING partition_id, first_offset
"""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Events with the offsets from ``first_offset`` on, ``count`` of them, of one partition."""

    partition_id: int
    first_offset: int
    count: int

    @property
    def last_offset(self) -> int:
        return self.first_offset + self.count - 1


def accept(source: Source, events: list[bytes]) -> Accepted:
    """Make the events durable, in one commit; raises Problem 429 where too much is waiting."""
    _check_room(source.tenant_id)
    lines = b"\n".join(events)
    body = zstandard.compress(lines, 1)
    parameters: dict[str, Any] = {
        "source": source.pk,
        "count": len(events),
        "body": body,
        "size": len(lines),
    }
    with connection.cursor() as cursor:
        cursor.execute(_ACCEPT, parameters)
        row = cursor.fetchone()
        if row is None:
            StreamPartition.objects.get_or_create(source=source, number=0, defaults={"position": 0})
            cursor.execute(_ACCEPT, parameters)
            row = cursor.fetchone()
    return Accepted(row[0], row[1], len(events))


def _check_room(tenant_id: int) -> None:
    waiting = StreamPartition.objects.filter(
        source__tenant=tenant_id, source__connection=None
    ).aggregate(
        events=Sum(F("high_watermark") - Coalesce(F("position"), 0), default=0),
        bytes=Sum("spooled_bytes", default=0),
    )
    if waiting["events"] >= WAITING_EVENTS or waiting["bytes"] >= WAITING_BYTES:
        raise Problem(
            429,
            "spool_full",
            f"{waiting['events']} events of yours wait for their tables. Send these again later.",
            headers={"Retry-After": str(RETRY_AFTER)},
        )


def wait(accepted: Accepted, seconds: float, every: float = 0.03) -> bool:
    """Whether the events can be queried, waiting for it up to ``seconds``."""
    deadline = time.monotonic() + seconds
    landed = StreamPartition.objects.filter(
        pk=accepted.partition_id, position__gt=accepted.last_offset
    )
    while not landed.exists():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every)
    return True
