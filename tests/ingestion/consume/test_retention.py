"""Messages that the broker deletes before they are read are noted as a gap; reading goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ingestion.ledger.books import FindingKind
from ingestion.models import Connection, Gap, Table
from tests.ingestion.running import (
    balance,
    consume,
    consume_until,
    error,
    kinds,
    numbers,
    partition,
)


@pytest.mark.slow
def test_retention_that_overtakes_a_slice(topic: Callable[..., Any], table: Table) -> None:
    stream = topic(max_message_bytes="2000000")
    source = stream.source(table)
    # A client keeps what it has fetched, so it fetches little here.
    small = {"queued.max.messages.kbytes": 256, "fetch.message.max.bytes": 100_000}
    small |= {"queued.min.messages": 1, "fetch.max.bytes": 2_000_000}
    Connection.objects.update(options=small)
    for start in range(0, 400, 40):
        stream.send(
            [b'{"n": %d, "s": "%s"}' % (n, b"x" * 50_000) for n in range(start, start + 40)]
        )
    seen: list[int] = []

    def delete_most() -> bool:
        if not seen and numbers(table):
            seen.append(1)
            stream.delete_before(350)
        return False

    consume(source, 15, should_stop=delete_most)
    before = partition(source).position
    assert before is not None
    assert before < 350
    assert "does not exist" in error(source)
    consume_until(source, lambda: partition(source).position == 400)
    assert numbers(table) == [*range(before), *range(350, 400)]
    gap = Gap.objects.get()
    assert (gap.from_offset, gap.to_offset) == (before, 350)
    assert partition(source).lost == 350 - before
    assert f"had deleted offsets {before} to 349" in error(source)
    found = balance(source)
    assert kinds(found) == {FindingKind.GAP}


@pytest.mark.slow
def test_retention_that_overtakes_a_batch_that_was_under_way(
    topic: Callable[..., Any], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.ingestion.running import crash_at_insert

    stream = topic()
    source = stream.source(table)
    stream.send([b'{"n": %d}' % n for n in range(60)])
    crash_at_insert(source, monkeypatch, lambda rows: rows.slice(0, 10))
    stream.delete_before(30)
    consume_until(source, lambda: partition(source).position == 60)
    assert numbers(table) == [*range(10), *range(30, 60)]
    found = balance(source)
    assert FindingKind.GAP in kinds(found)
