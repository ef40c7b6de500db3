"""The oracle: counts what was sent and what is there, by the messages' own numbers.

It asks nothing of what Millrace notes of itself: neither batches, positions nor offsets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.harness.senders import Sender

Query = Callable[[str], list[dict[str, Any]]]

_EVERYTHING = """
SELECT part, seq FROM {database}.{table}
UNION ALL
SELECT toUInt32(extract(raw, '"part":([0-9]+)')), toUInt64(extract(raw, '"seq":([0-9]+)'))
FROM {database}.{table}__quarantine
"""


@dataclass(slots=True)
class Verdict:
    """Of one stream: how many are missing, how many are there more than once, with examples."""

    stream: str
    sent: int = 0
    #: Which the broker may have lost, or has: they may be there once.
    unconfirmed: int = 0
    lost: int = 0
    doubled: int = 0
    unknown: int = 0
    rollup: int = 0
    is_queue: bool = False
    examples: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """A queue's messages can't be had again, so a rollup behind its table may lack some."""
        is_rolled = self.rollup <= 0 if self.is_queue else self.rollup == 0
        return is_rolled and not (self.lost or self.doubled or self.unknown)


def landed(query: Query, database: str, tables: Iterable[str]) -> dict[str, int]:
    """Rows of each table and its quarantine."""
    counts = ", ".join(
        f"(SELECT count() FROM {database}.{name}) + "
        f"(SELECT count() FROM {database}.{name}__quarantine) AS {name}"
        for name in tables
    )
    return query(f"SELECT {counts}")[0]


def landed_of(query: Query, database: str, sender: Sender) -> int:
    """Rows of what one sender sent, in the table and its quarantine."""
    everything = _EVERYTHING.format(database=database, table=sender.stream)
    first = sender.base
    found = query(
        f"SELECT count() AS rows FROM ({everything}) WHERE part >= {first} AND part < {first + 100}"
    )
    return int(found[0]["rows"])


def judge(query: Query, database: str, sender: Sender) -> Verdict:
    """Every certain number once; every uncertain one at most once; no other."""
    verdict = Verdict(sender.stream, sender.total, is_queue=sender.is_queue)
    everything = _EVERYTHING.format(database=database, table=sender.stream)
    for part, sent in sender.sent.items():
        uncertain = sender.uncertain[part]
        verdict.unconfirmed += len(uncertain)
        found = query(
            "SELECT count() AS rows, uniqExact(seq) AS distinct, "
            f"countIf(seq >= {sent}) AS unknown, "
            f"uniqExactIf(seq, has(CAST({uncertain}, 'Array(UInt64)'), seq)) AS lucky "
            f"FROM ({everything}) WHERE part = {part}"
        )[0]
        verdict.lost += sent - len(uncertain) - (found["distinct"] - found["lucky"])
        verdict.doubled += found["rows"] - found["distinct"]
        verdict.unknown += found["unknown"]
    if not verdict.is_good:
        verdict.examples = _examples(query, everything, sender)
    rolled = query(
        f"SELECT (SELECT sum(rows) FROM {database}.{sender.stream}_rollup) - "
        f"(SELECT count() FROM {database}.{sender.stream}) AS difference"
    )
    verdict.rollup = int(rolled[0]["difference"])
    return verdict


def _examples(query: Query, everything: str, sender: Sender) -> list[str]:
    twice = query(
        f"SELECT part, seq, count() AS rows FROM ({everything}) GROUP BY part, seq "
        "HAVING rows > 1 ORDER BY part, seq LIMIT 5"
    )
    found = [f"{one['part']}:{one['seq']} is there {one['rows']} times" for one in twice]
    for part, sent in sender.sent.items():
        missing = query(
            f"SELECT number AS seq FROM numbers({sent}) WHERE number NOT IN "
            f"(SELECT seq FROM ({everything}) WHERE part = {part}) LIMIT 5"
        )
        found += [f"{part}:{one['seq']} is missing" for one in missing]
    return found
