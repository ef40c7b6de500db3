"""A worker whose inserts only count: ``python -m bench.counting CELERY-ARGS``.

All else is a worker's own: leases, intents, reading, cutting, the Arrow block, positions, commits.
"""

from __future__ import annotations

import sys
import uuid
from typing import Any

from celery.__main__ import main
from celery.signals import worker_init


def only_count(**_: Any) -> None:
    """Make the block as ever, and send it nowhere; nothing is in quarantine."""
    from ingestion.batches.batch import PendingBatch
    from ingestion.landing import inbox
    from ingestion.landing.addresses import Address

    def insert(to: Address, batch: PendingBatch, token: uuid.UUID | None = None) -> int:
        inbox.block(batch)
        return 0

    inbox.insert = insert


if __name__ == "__main__":
    # Not earlier: Django is set up by then.
    worker_init.connect(only_count)
    sys.exit(main())
