"""Statements that change many partitions lock them in one order, so none wait in a circle."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from django.db import connections
from django.utils import timezone

from ingestion.batches import announce, settle
from ingestion.batches.batch import BatchStats, Intent, Lease
from ingestion.connectors.base import Watermarks
from ingestion.consume import discovery
from ingestion.leases import lease
from ingestion.models import Source, StreamPartition, Table
from tenants.models import Tenant

OWNER = "here:1:aa"
PARTITIONS, ROUNDS = 300, 12


@pytest.mark.slow
def test_owners_and_measurements_do_not_wait_for_each_other(
    transactional_db: None, unique: Callable[[str], str]
) -> None:
    tenant = Tenant.objects.create(slug=unique("locks"), name="Locks")
    table = Table.objects.create(tenant=tenant, name="events", applied=1, version=1)
    source = Source.objects.create(tenant=tenant, name="events", table=table)
    # The last partition is the first in the table.
    partitions = StreamPartition.objects.bulk_create(
        StreamPartition(
            source=source,
            number=number,
            position=0,
            lease_owner=OWNER,
            lease_expires_at=timezone.now(),
        )
        for number in reversed(range(PARTITIONS))
    )

    def land(seed: int) -> int:
        """Announce and finish empty batches of this thread's partitions, in random order."""
        chance, landed = Random(seed), 0
        for _ in range(ROUNDS):
            leases = [Lease(row.pk, source.pk, row.number, OWNER, 0) for row in partitions[seed::2]]
            chance.shuffle(leases)
            intents = {held: Intent(held.origin, uuid.uuid4(), 0, 0, 0, 0, 0) for held in leases}
            opened = announce.announce(OWNER, intents)
            good = {held: intent for held, intent in intents.items() if intent.token in opened}
            landed += len(announce.finish(OWNER, good))
            settle.close(dict.fromkeys(opened, BatchStats()))
        return landed

    def measured(_: int) -> int:
        marks = {number: Watermarks(0, 10, "id") for number in range(PARTITIONS)}
        return sum(len(discovery._store({source.pk: marks})[source.pk]) for _ in range(ROUNDS))

    def renewed(_: int) -> int:
        return sum(len(lease.renew(OWNER, [row.pk for row in partitions])) for _ in range(ROUNDS))

    def run(work: Callable[[int], int], seed: int) -> int:
        try:
            return work(seed)
        finally:
            connections.close_all()

    works = [(land, 0), (land, 1), (measured, 0), (measured, 1), (renewed, 0)]
    with ThreadPoolExecutor(len(works)) as pool:
        done = [pool.submit(run, *work) for work in works]
    assert sum(future.result() for future in done[:2]) == PARTITIONS * ROUNDS
    assert [future.result() for future in done[2:4]] == [PARTITIONS * ROUNDS] * 2
    done[4].result()
