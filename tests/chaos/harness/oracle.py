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
SELECT part, seq, kind = 'aside' AS aside, 1 AS is_row FROM {database}.{table}
UNION ALL
SELECT toUInt32(extract(raw, '"part":([0-9]+)')), toUInt64(extract(raw, '"seq":([0-9]+)')),
    position(raw, '"kind":"aside"') > 0 AND endsWith(raw, '}}'), 0
FROM {database}.{table}__quarantine
"""
#: A queue's message has other offsets when it is delivered again; others have no id of their own.
_FILTERED = """
SELECT count() AS rows,
    uniqExact(if(_message_id = '', toString((_partition, _offset)), _message_id)) AS distinct
FROM {database}.{table}__filtered
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
    filtered: int = 0
    rollup: int = 0
    is_queue: bool = False
    examples: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """A queue's messages can't be had again, so a rollup behind its table may lack some."""
        is_rolled = self.rollup <= 0 if self.is_queue else self.rollup == 0
        return is_rolled and not (self.lost or self.doubled or self.unknown)


def landed(query: Query, database: str, tables: Iterable[str]) -> dict[str, int]:
    """Rows of each table and its quarantine, and the messages that its filter has left out."""
    counts = ", ".join(
        f"(SELECT count() FROM {database}.{name}) + "
        f"(SELECT count() FROM {database}.{name}__quarantine) + "
        f"(SELECT count() FROM {database}.{name}__filtered) AS {name}"
        for name in tables
    )
    return query(f"SELECT {counts}")[0]


def landed_of(query: Query, database: str, sender: Sender) -> int:
    """Rows of what one sender sent, in the table and its quarantine, and what is filtered."""
    everything = _EVERYTHING.format(database=database, table=sender.stream)
    first = sender.base
    found = query(
        f"SELECT count() AS rows FROM ({everything}) WHERE part >= {first} AND part < {first + 100}"
    )
    return int(found[0]["rows"]) + _filtered(query, database, sender)["rows"]


def begin(query: Query, database: str, senders: Iterable[Sender]) -> None:
    """Note what was filtered before the senders begin: no origin says which of them sent it."""
    for sender in senders:
        sender.filtered_before = _filtered(query, database, sender)["rows"]


def _filtered(query: Query, database: str, sender: Sender) -> dict[str, int]:
    """What was filtered since the sender began, and how many of those are there once more."""
    found = query(_FILTERED.format(database=database, table=sender.stream))[0]
    rows, distinct = int(found["rows"]), int(found["distinct"])
    return {"rows": rows - sender.filtered_before, "doubled": rows - distinct}


def judge(query: Query, database: str, sender: Sender) -> Verdict:
    """Every certain number once; every uncertain one at most once; no other.

    What the filter leaves out is in no table; it is counted, each once.
    """
    verdict = Verdict(sender.stream, sender.total, is_queue=sender.is_queue)
    everything = _EVERYTHING.format(database=database, table=sender.stream)
    aside = certain_aside = aside_there = 0
    for part, sent in sender.sent.items():
        verdict.unconfirmed += len(sender.uncertain[part])
        aside += len(sender.aside[part])
        certain_aside += len(sender.aside[part].difference(sender.uncertain[part]))
        uncertain = [seq for seq in sender.uncertain[part] if seq not in sender.aside[part]]
        found = query(
            "SELECT countIf(NOT aside) AS rows, uniqExactIf(seq, NOT aside) AS distinct, "
            f"countIf(seq >= {sent} OR (aside AND is_row)) AS unknown, countIf(aside) AS left, "
            f"uniqExactIf(seq, has(CAST({uncertain}, 'Array(UInt64)'), seq)) AS lucky "
            f"FROM ({everything}) WHERE part = {part}"
        )[0]
        certain = sent - len(sender.aside[part]) - len(uncertain)
        verdict.lost += certain - (found["distinct"] - found["lucky"])
        # Workers died of it, so that nobody has read it.
        aside_there += found["left"]
        verdict.doubled += found["rows"] - found["distinct"]
        verdict.unknown += found["unknown"]
    filtered = _filtered(query, database, sender)
    verdict.filtered = filtered["rows"]
    there = filtered["rows"] - filtered["doubled"] + aside_there
    verdict.lost += max(0, certain_aside - there)
    verdict.doubled += filtered["doubled"] + max(0, there - aside)
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
    found = [f"{sum(map(len, sender.aside.values()))} are to be filtered"]
    found += [f"{one['part']}:{one['seq']} is there {one['rows']} times" for one in twice]
    for part, sent in sender.sent.items():
        missing = query(
            f"SELECT number AS seq FROM numbers({sent}) WHERE number NOT IN "
            f"(SELECT seq FROM ({everything}) WHERE part = {part}) AND number % 10 != 3 LIMIT 5"
        )
        found += [f"{part}:{one['seq']} is missing" for one in missing]
    return found
