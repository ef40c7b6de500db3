"""Generated messages by the real path, from Kafka to the table, beside an oracle written apart.

Each lands with exactly the values that were sent, or is in quarantine with column, type and value.
"""

from __future__ import annotations

import base64
import os
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, seed, settings

from ingestion.consume.loop import Slice
from ingestion.ddl.spec import INSERT_SETTINGS
from ingestion.ddl.types import NAMES, ColumnType, parse
from ingestion.landing import direct_insert
from ingestion.landing.addresses import place_of
from ingestion.models import Table
from ingestion.services import quarantine_runs
from tenants.models import Tenant
from tenants.warehouse import client
from tests.ingestion.mending import finish
from tests.ingestion.typing.typing_messages import messages
from tests.ingestion.typing.typing_oracle import FORMAT, MISFIT, RULES, Either, outcome

KINDS = list(RULES)
#: Where the columns' values are: in the message, below a key, in an element of an array.
PLACES = ["$", "$.v", "$.l[1]"]
#: A driver's times end at microseconds.
NANOSECONDS = ", ".join(
    f"toUnixTimestamp64Nano(c{index}) AS c{index}"
    for index, kind in enumerate(KINDS)
    if kind.startswith("Nullable(DateTime64(9))")
)
#: For a long run: TYPING_CASES=100000 pytest tests/ingestion/typing
CASES = int(os.environ.get("TYPING_CASES", "2000"))
#: The same in every run, so that a change is what fails; others: TYPING_SEED=$RANDOM.
SEED = int(os.environ.get("TYPING_SEED", "973689267"))


@dataclass(frozen=True)
class Case:
    """JSON texts by the index of their column, and what became of the message."""

    tokens: dict[int, str]
    landed: list[dict[str, Any]]
    misfits: list[dict[str, Any]]

    @property
    def message(self) -> bytes:
        places: list[list[str]] = [[], [], []]
        for index, token in self.tokens.items():
            places[index % 3].append(f'"c.{index}":{token}')
        own, below, element = map(",".join, places)
        comma = "," if own else ""
        text = f'{{{own}{comma}"v":{{{below}}},"l":[null,{{{element}}}]}}'
        return text.encode("utf-8", "surrogatepass")

    def wrong(self) -> str:
        """What is wrong about it, or nothing."""
        wanted = {index: outcome(KINDS[index], token) for index, token in self.tokens.items()}
        if len(self.landed) + len(self.misfits) != 1:
            return f"{len(self.landed)} rows, {len(self.misfits)} in quarantine"
        if self.landed:
            return self._wrong_row(wanted, self.landed[0])
        return self._wrong_misfit(wanted, self.misfits[0])

    def _wrong_row(self, wanted: dict[int, Any], row: dict[str, Any]) -> str:
        for index, value in wanted.items():
            expected = value.value if isinstance(value, Either) else value
            if expected is MISFIT or not same(row[f"c{index}"], expected):
                return f"c{index} landed as {row[f'c{index}']!r}, and not as {expected!r}"
        return ""

    def _wrong_misfit(self, wanted: dict[int, Any], found: dict[str, Any]) -> str:
        at_fault = {i for i, value in wanted.items() if value is MISFIT or type(value) is Either}
        if base64.b64decode(found["raw"]) != self.message:
            return f"the quarantine has {found['raw']!r}"
        if not at_fault:
            return f"in quarantine ({found['reason']}), and is {wanted!r}"
        if found["reason"].startswith("invalid_") and not found["column"]:
            return ""  # no JSON at all, so that no column is at fault
        told = found["column"], found["expected"], bool(found["value"])
        right = [(f"c{index}", KINDS[index], True) for index in at_fault]
        return "" if told in right else f"in quarantine for {told}"


def same(value: Any, wanted: Any) -> bool:
    """Equal, as what a driver makes of a value; of floats the sign of 0, too."""
    if isinstance(wanted, list):
        return len(value) == len(wanted) and all(map(same, value, wanted))
    if isinstance(wanted, dict):
        return value.keys() == wanted.keys() and all(
            same(value[key], wanted[key]) for key in wanted
        )
    if isinstance(wanted, float):
        return struct.pack("d", value) == struct.pack("d", wanted)
    if isinstance(wanted, datetime) and value.tzinfo is None:
        return bool(value.replace(tzinfo=UTC) == wanted)
    return bool(value == wanted)


def generated() -> list[dict[int, str]]:
    """Messages as JSON texts by the index of their column, from SEED."""
    found: list[dict[int, str]] = []

    @seed(SEED)
    @settings(
        max_examples=CASES, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(messages(KINDS))
    def collect(tokens: dict[int, str]) -> None:
        found.append(tokens)

    collect()
    return found


@pytest.fixture
def wide(tenant_factory: Callable[..., Tenant], table_factory: Callable[..., Table]) -> Table:
    """A table with a column of every type, none of them required."""
    return table_factory(tenant_factory(), columns_of_all())


def columns_of_all() -> list[dict[str, Any]]:
    return [
        {
            "name": f"c{index}",
            "type": kind.split(FORMAT)[0],
            "format": "".join(kind.split(FORMAT)[1:]),
            "path": f"{PLACES[index % len(PLACES)]}['c.{index}']",
            "required": False,
            "default": {"Arr": "[]", "Map": "{}"}.get(kind[:3]),
        }
        for index, kind in enumerate(KINDS)
    ]


@pytest.mark.slow
@pytest.mark.timeout(60 + CASES // 20)
def test_each_value_lands_as_itself_or_is_in_quarantine(
    topic: Callable[[], Any], wide: Table, table_factory: Callable[..., Table]
) -> None:
    """From Kafka, and once more by a replay of all of them from a quarantine."""
    sent = generated()
    stream = topic()
    source = stream.source(wide, quarantine_limit=0)
    stream.send([Case(tokens, [], []).message for tokens in sent])
    rows = 0
    while rows < len(sent):
        consumed = Slice(source.connection_id, seconds=3)
        consumed.run()
        rows += consumed.rows
    database = wide.tenant.warehouse.database
    landed = by_offset(f"SELECT * REPLACE ({NANOSECONDS}) FROM {database}.events")
    misfits = by_offset(
        "SELECT _offset, `column`, expected, value, base64Encode(raw) AS raw, reason "
        f"FROM {database}.events__quarantine"
    )
    cases = [
        Case(tokens, landed.get(offset, []), misfits.get(offset, []))
        for offset, tokens in enumerate(sent)
    ]
    wrong = [
        f"{one.message.decode(errors='replace')}: {one.wrong()}" for one in cases if one.wrong()
    ]
    shown = "\n".join(wrong[:40])
    assert not wrong, f"TYPING_SEED={SEED}, {len(wrong)} of {len(sent)} messages:\n{shown}"
    assert min(len(landed), len(misfits)) > CASES / 10
    again = table_factory(wide.tenant, columns_of_all(), name="again")
    replay_all(again, [case.message for case in cases])
    assert digest(again) == digest(wide)
    assert client.rows(f"SELECT count() AS n FROM {database}.again__quarantine") == [
        {"n": len(misfits)}
    ]


def replay_all(table: Table, sent: list[bytes]) -> None:
    """Put the messages into the table's quarantine, in order, and replay all of them."""
    rows = pa.table(
        {
            "_offset": pa.array(range(len(sent)), pa.int64()),
            "_batch": pa.array([uuid.uuid4().bytes] * len(sent), pa.binary(16)),
            "raw": pa.array(sent, pa.binary()),
        }
    )
    block = bytes(direct_insert.stream(rows))
    client.admin().raw_insert(
        place_of(table).quarantine, insert_block=block, fmt="ArrowStream", settings=INSERT_SETTINGS
    )
    finish(quarantine_runs.replay(quarantine_runs.selected(table)))


def digest(table: Table) -> list[dict[str, Any]]:
    """Of all rows: how many, and their offsets and values."""
    row = ", ".join(["_offset", *(f"c{index}" for index in range(len(KINDS)))])
    return client.rows(
        f"SELECT count() AS n, groupBitXor(sipHash64(formatRow('JSONCompactEachRow', {row}))) AS h "
        f"FROM {place_of(table).table}"
    )


def by_offset(sql: str) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in client.rows(sql):
        found.setdefault(row["_offset"], []).append(row)
    return found


def test_the_oracle_has_a_rule_for_every_type_that_a_column_may_have() -> None:
    assert {name for kind in KINDS for name in _names(parse(kind.split(FORMAT)[0]))} == NAMES


def _names(kind: ColumnType) -> set[str]:
    """Of the type and of those within it."""
    inner = [one for one in kind.args if isinstance(one, ColumnType)]
    return {kind.name}.union(*map(_names, inner))
