"""A batch counts once, however often it is sent; and the rows say of which batch they are."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from ingestion.ddl import ColumnSpec, TableSpec


@pytest.mark.slow
def test_batches_sent_again_change_nothing_and_another_token_doubles(inbox: Any) -> None:
    spec = TableSpec(
        inbox.database,
        "t",
        (ColumnSpec("n", "UInt32"), ColumnSpec("day", "Date")),
        ("n",),
        partition_key="day",
    )
    inbox.make(spec)
    batches = [
        [
            b'{"n": %d, "day": "2026-01-%02d"}' % (number, number % 28 + 1)
            if number % 10
            else b'{"n": "x"}'
            for number in range(start, start + 100)
        ]
        for start in range(0, 800, 100)
    ]
    tokens = [uuid.uuid4() for _ in batches]
    for _ in range(2):
        for token, batch in zip(tokens, batches, strict=True):
            inbox.insert("t", batch, token)
        assert (inbox.count("t"), inbox.count("t__quarantine")) == (720, 80)
    inbox.insert("t", batches[0])
    assert (inbox.count("t"), inbox.count("t__quarantine")) == (810, 90)


def test_rows_and_misfits_carry_their_batch(inbox: Any) -> None:
    inbox.make(TableSpec(inbox.database, "t", (ColumnSpec("n", "UInt8"),)))
    token = inbox.insert("t", [b'{"n": 1}', b'{"n": "x"}'])
    for place in ("t", "t__quarantine"):
        assert inbox.rows(f"SELECT _batch FROM {inbox.database}.{place}") == [(token,)]
