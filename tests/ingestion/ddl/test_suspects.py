"""Whichever columns are asked in all forms, messages become the same rows in the same order.

So a batch is the same block to the engine after a crash, when another process types it. The
statement that asks all columns in all forms is the measure.
"""

from __future__ import annotations

import random
import uuid
from typing import Any

import pyarrow as pa
import pytest
from cases import ALL_FITS, ALL_MISFITS, column

from ingestion.batches.batch import Intent, Origin, PendingBatch
from ingestion.connectors.chunk import chunk
from ingestion.ddl import ColumnSpec
from ingestion.landing import direct_insert, inbox

#: Columns of a table, and which of them are below a parent, may be missing, or have quoted numbers.
COLUMNS, BELOW, OPTIONAL, QUOTED = 12, 4, 3, 5
#: Which of those below the parent are in an element of an array there.
IN_ARRAY = 8
WHOLE = [b"", b"{", b"[1]", b"7", b"null", b"{}", b'{"v0": "\xff"}', b"[" * 2_000]


def _columns(chosen: random.Random) -> tuple[ColumnSpec, ...]:
    return tuple(
        column(
            f"v{number}",
            kind,
            path=_path(number),
            required=number % OPTIONAL != 0,
            quoted_numbers=number % QUOTED == 0,
        )
        for number, kind in enumerate(chosen.sample(sorted(ALL_FITS), COLUMNS))
    )


def _path(number: int) -> str:
    if number % IN_ARRAY == 0:
        return f"$.list[1]['v.{number}']"
    return f"parent.v{number}" if number % BELOW == 0 else ""


def _message(columns: tuple[ColumnSpec, ...], chosen: random.Random) -> bytes:
    """Most of its values fit, in their usual form or in another; some are missing."""
    element: list[str] = []
    inner: list[str] = []
    outer: list[str] = []
    odd = chosen.sample(range(COLUMNS), chosen.randrange(4))
    for number, one in enumerate(columns):
        misfits = [json for found in ALL_MISFITS.get(one.expected, {}).values() for json in found]
        value = chosen.choice(
            misfits if number in odd and misfits else list(ALL_FITS[one.expected])
        )
        if number in odd and chosen.random() < 0.2:
            continue
        if number % IN_ARRAY == 0:
            element.append(f'"v.{number}": {value}')
        else:
            (inner if number % BELOW == 0 else outer).append(f'"v{number}": {value}')
    parent = _object(inner) if chosen.random() < 0.9 else chosen.choice(["7", "[]"])
    listed = f"[7, {_object(element)}]" if chosen.random() < 0.9 else chosen.choice(["7", "[[]]"])
    return _object([*outer, f'"parent": {parent}', f'"list": {listed}']).encode()


def _object(members: list[str]) -> str:
    return "{" + ", ".join(members) + "}"


def _table(messages: list[bytes]) -> pa.Table:
    count = len(messages)
    rows = chunk(0, list(range(count)), [0] * count, messages).rows
    intent = Intent(Origin(1, 0), uuid.UUID(int=7), 0, count, count, 1, 1)
    return inbox.table_of(PendingBatch(intent, pa.Table.from_batches([rows])))


def _typed(
    messages: pa.Table, columns: tuple[ColumnSpec, ...], suspects: set[int]
) -> tuple[list[bytes], list[bytes]]:
    direct_insert.suspects(columns).clear()
    direct_insert.suspects(columns).update(suspects)
    (rows,) = direct_insert.type_rest(messages, columns).values()
    return rows.good, rows.misfits


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 3])
def test_rows_do_not_depend_on_what_is_suspected(seed: int, engine: Any) -> None:
    chosen = random.Random(seed)
    columns = _columns(chosen)
    messages = _table([_message(columns, chosen) for _ in range(200)] + WHOLE)
    everything = set(range(len(columns)))
    good, misfits = _typed(messages, columns, everything)
    assert len(good) > 20
    assert len(misfits) > 20
    assert len(good) + len(misfits) == messages.num_rows
    for some in (0, 1, 3, COLUMNS - 1):
        suspects = set(chosen.sample(sorted(everything), some))
        assert _typed(messages, columns, suspects) == (good, misfits)
    for place in range(0, messages.num_rows, 50):
        alone = messages.slice(place, 1)
        assert _typed(alone, columns, set()) == _typed(alone, columns, everything)


def test_columns_that_did_not_fit_are_asked_at_once_the_next_time(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = (ColumnSpec("a", "UInt8"), ColumnSpec("b", "UInt8"), ColumnSpec("c", "String"))
    direct_insert.suspects(columns).clear()
    asked, ask = [], direct_insert._ask

    def noted(sql: str, messages: pa.Table, columns: tuple[ColumnSpec, ...]) -> pa.Table:
        asked.append(messages.num_rows)
        return ask(sql, messages, columns)

    monkeypatch.setattr(direct_insert, "_ask", noted)
    broken = _table([b'{"a": 256, "b": 1, "c": "x"}', b"{", b'{"a": 1, "b": 1, "c": 7}'])
    direct_insert.type_rest(broken, columns)
    assert asked == [3, 2]
    assert direct_insert.suspects(columns) == {0, 2}
    direct_insert.type_rest(broken, columns)
    assert asked == [3, 2, 3]
    other = _table([b'{"a": 256, "b": "y", "c": "x"}'])
    (rows,) = direct_insert.type_rest(other, columns).values()
    assert asked == [3, 2, 3, 1, 1]
    assert (len(rows.good), len(rows.misfits)) == (0, 1)
