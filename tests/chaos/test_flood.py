"""One tenant sends a hundred times what each of the others does; they hardly notice."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest

from tests.chaos.harness.freshness import Freshness
from tests.chaos.harness.grounds import Grounds, grounds
from tests.flaky import Waited

pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.timeout(600)]
QUIET = ("quiet1", "quiet2", "quiet3")
#: Events a second of a quiet tenant; the flood is a hundred times that, and a backlog before it.
RATE = 50
SECONDS = 10
#: Below it the machine's own unrest is all that is measured.
FLOOR = 2.5


def test_a_flood_of_one_tenant_does_not_delay_the_others(installation: Any) -> None:
    with grounds(installation, workers=1) as made:
        made.add_topics(*((name, name, 1) for name in QUIET), ("flood", "flood", 4))
        watch = Freshness(made, [f"t_{name}.{name}" for name in QUIET])
        senders = [
            made.topic_sender(name, 1, RATE, 100 * number, watch.body)
            for number, name in enumerate(QUIET, 1)
        ]
        for one in (*senders, watch):
            one.start()
        made.await_(lambda: all(_rows(made, name) for name in QUIET), "nothing lands")
        before = _passed()
        flood = made.topic_sender("flood", 4, 100 * RATE)
        flood.start()
        made.await_(lambda: _rows(made, "flood"), "the flood does not land")
        meanwhile = _passed()
        flood.end()
        _await_all(made, "flood", flood.total)
        after = _passed()
        for one in senders:
            one.end()
        for name, one in zip(QUIET, senders, strict=True):
            _await_all(made, name, one.total)
        watch.end()
        # What else the machine does may change; the worse of both counts as its unrest.
        quiet = max(watch.p95(*before), watch.p95(*after))
        flooded = watch.p95(*meanwhile)
        print(  # noqa: T201 - what the run is for
            f"\n  one tenant at 100 times its share: {flood.total:,} events; p95 of the others "
            f"{quiet:.2f} s without, {flooded:.2f} s with it"
        )
        if flooded > max(2 * quiet, FLOOR):
            raise Waited("The others' p95 has more than doubled.")


def _await_all(made: Grounds, name: str, total: int) -> None:
    with suppress(Waited):
        made.await_(lambda: _rows(made, name) >= total, "events are missing")
    assert _rows(made, name) == total


def _passed() -> tuple[float, float]:
    """A while, from when until when."""
    began = time.monotonic()
    time.sleep(SECONDS)
    return began, time.monotonic()


def _rows(made: Grounds, name: str) -> int:
    counts = " + ".join(
        f"(SELECT count() FROM t_{name}.{name}{end})" for end in ("", "__quarantine", "__filtered")
    )
    found = made.query(f"SELECT {counts} AS c")
    return int(found[0]["c"])
