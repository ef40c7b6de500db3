"""The oracle's verdict on what filters leave out, of which no table has a number."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.harness import oracle
from tests.chaos.harness.senders import Sender, body


class Ten(Sender):
    """Has sent ten messages, of which the filter leaves out one, or perhaps none."""

    def __init__(self, *, is_certain: bool = True) -> None:
        super().__init__("stream", 1)
        for seq in range(10):
            self._noted(0, seq, body(0, seq))
        self.sent[0] = 10
        self.uncertain[0] = [] if is_certain else [3]
        self.filtered_before = 5

    def _send(self) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("rows", "distinct", "in_quarantine", "is_certain", "lost", "doubled"),
    [
        (6, 6, 0, True, 0, 0),
        (5, 5, 0, True, 1, 0),
        (5, 5, 1, True, 0, 0),
        (5, 5, 0, False, 0, 0),
        (6, 6, 0, False, 0, 0),
        (7, 6, 0, True, 0, 1),
        (7, 7, 0, True, 0, 1),
        (6, 6, 1, True, 0, 1),
        (6, 5, 0, True, 1, 1),
    ],
)
def test_each_filtered_message_is_counted_once(
    rows: int, distinct: int, in_quarantine: int, is_certain: bool, lost: int, doubled: int
) -> None:
    def query(sql: str) -> list[dict[str, Any]]:
        if "uniqExact(if(_message_id" in sql:
            return [{"rows": rows, "distinct": distinct}]
        if "AS difference" in sql:
            return [{"difference": 0}]
        if "AS unknown" in sql:
            kept = {"rows": 9, "distinct": 9, "unknown": 0, "lucky": 0}
            return [kept | {"left": in_quarantine}]
        return []

    verdict = oracle.judge(query, "database", Ten(is_certain=is_certain))
    assert (verdict.lost, verdict.doubled) == (lost, doubled)
    assert verdict.is_good == (not lost and not doubled)
