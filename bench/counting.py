"""A worker that counts its inserts but sends none: ``python -m bench.counting CELERY-ARGS``.

Everything else is a worker's real work: leases, intents, reading, batching, the Arrow block,
positions and commits.
"""

from __future__ import annotations

import sys
import uuid
from typing import Any

from celery.__main__ import main
from celery.signals import worker_init


def only_count(**_: Any) -> None:
    """Replace the insert: build the block as usual, but don't send it; quarantine nothing."""
    from ingestion.batches.batch import PendingBatch
    from ingestion.landing import direct_insert, inbox
    from ingestion.landing.addresses import Address

    def insert(to: Address, batch: PendingBatch, token: uuid.UUID | None = None) -> int:
        direct_insert.stream(inbox.table_of(batch))
        return 0

    inbox.insert = insert


if __name__ == "__main__":
    # At this signal, since Django is set up by then.
    worker_init.connect(only_count)
    sys.exit(main())
