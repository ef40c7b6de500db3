"""A worker that is stopped while an insert of its own is on its way."""

from __future__ import annotations

import signal
import time

from tests.chaos.harness.grounds import Grounds
from tests.chaos.harness.worker import Worker


def intents_of(made: Grounds, worker: Worker) -> int:
    """Batches that a worker has announced and not done."""
    (found,) = made.postgres(
        "SELECT count(*) FROM ingestion_batch b JOIN ingestion_streampartition p "
        "ON p.id = b.partition_id WHERE b.state = 'intent' "
        f"AND p.lease_owner LIKE '%:{worker.process.pid}:%'"
    )
    return int(found[0])


def leases(made: Grounds, worker: Worker) -> int:
    """Partitions that a worker holds now."""
    (found,) = made.postgres(
        "SELECT count(*) FROM ingestion_streampartition WHERE lease_expires_at > now() "
        f"AND lease_owner LIKE '%:{worker.process.pid}:%'"
    )
    return int(found[0])


def stopped_in_mid_insert(made: Grounds, worker: Worker) -> bool:
    """Stop a worker whose announced insert can't reach ClickHouse; False if it has none."""
    if not leases(made, worker):
        return False
    worker.networks["clickhouse"].stall()
    deadline = time.monotonic() + 3
    while not intents_of(made, worker) and time.monotonic() < deadline:
        time.sleep(0.02)
    worker.signal(signal.SIGSTOP)
    if intents_of(made, worker):
        return True
    worker.signal(signal.SIGCONT)
    worker.networks["clickhouse"].heal()
    return False
