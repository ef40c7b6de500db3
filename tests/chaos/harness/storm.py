"""A storm: faults at random, from a seed, some of them at once; and what came of it."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from tests.chaos.harness import oracle
from tests.chaos.harness.faults import Fault, faults
from tests.chaos.harness.grounds import DATABASE, PATIENCE, Grounds, ledgers
from tests.chaos.harness.oracle import Verdict
from tests.chaos.harness.senders import Sender

#: Faults under way at a time.
AT_ONCE = 2
#: Seconds from the beginning of one fault to that of the next.
GAP = (0.5, 3.5)


@dataclass(slots=True)
class Report:
    seed: int
    tried: Counter[str] = field(default_factory=Counter)
    #: Seconds from the end of a fault until all streams went on, the longest of its kind.
    stalls: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    verdicts: list[Verdict] = field(default_factory=list)
    ledgers: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def lost(self) -> int:
        return sum(one.lost for one in self.verdicts)

    @property
    def doubled(self) -> int:
        return sum(one.doubled for one in self.verdicts)

    @property
    def is_good(self) -> bool:
        return all(one.is_good for one in self.verdicts)

    def __str__(self) -> str:
        lines = [f"\nSeed {self.seed}: {self.tried.total()} faults in {self.seconds:.0f} s"]
        lines += [
            f"  {kind:34} {count:4}   longest stall after it {self.stalls[kind]:5.1f} s"
            for kind, count in sorted(self.tried.items())
        ]
        lines += [
            f"  {one.stream:8} sent {one.sent:9,}  unconfirmed {one.unconfirmed:4}  "
            f"filtered {one.filtered:7,}  lost {one.lost}  doubled {one.doubled}  "
            f"unknown {one.unknown}  rollup off by {one.rollup}  {'; '.join(one.examples)}"
            for one in self.verdicts
        ]
        return "\n".join([*lines, *self.ledgers])


class Watch(threading.Thread):
    """Notes of each stream when its rows have grown."""

    def __init__(self, grounds: Grounds, tables: Sequence[str] = ()) -> None:
        super().__init__(daemon=True)
        self._grounds, self._ended = grounds, threading.Event()
        self._tables = tables or grounds.tables
        #: What others have sent before is not counted.
        self._before = oracle.landed(grounds.query, DATABASE, self._tables)
        self._rows = dict.fromkeys(self._tables, 0)
        self._grew_at = {name: [time.monotonic()] for name in self._tables}

    def run(self) -> None:
        while not self._ended.wait(0.25):
            try:
                found = oracle.landed(self._grounds.query, DATABASE, self._tables)
            except OSError:
                continue
            for name, all_rows in found.items():
                rows = all_rows - self._before[name]
                if rows > self._rows[name]:
                    self._rows[name] = rows
                    self._grew_at[name].append(time.monotonic())

    def end(self) -> None:
        self._ended.set()
        self.join()

    @property
    def rows(self) -> int:
        return sum(self._rows.values())

    @property
    def has_begun(self) -> bool:
        return all(self._rows.values())

    @property
    def idle_seconds(self) -> float:
        return time.monotonic() - max(times[-1] for times in self._grew_at.values())

    def stall(self, since: float) -> float:
        """Seconds from ``since`` until the last of the streams went on."""
        waits = [
            next((at - since for at in times if at >= since), 0.0)
            for times in self._grew_at.values()
        ]
        return max(waits)


class Storm:
    """Use: ``Storm(grounds, seed).rage(count)``.

    ``kinds`` are the faults to choose from, all without it. After ``patience`` seconds without any
    new row the rest counts as lost.
    """

    def __init__(
        self,
        grounds: Grounds,
        seed: int,
        kinds: Sequence[str] = (),
        patience: float = PATIENCE,
    ) -> None:
        self._patience = patience
        self._grounds, self._chance = grounds, Random(seed)
        self._faults = [one for one in faults(grounds) if not kinds or one.kind in kinds]
        self._busy: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._room = threading.Semaphore(AT_ONCE)
        self._ended: list[tuple[str, float]] = []
        self._failed: list[BaseException] = []
        self.report = Report(seed)

    def rage(self, count: int) -> Report:
        """Send, let ``count`` faults strike, wait for the last event, and judge."""
        began = time.monotonic()
        senders, watch = self._grounds.senders(), Watch(self._grounds)
        oracle.begin(self._grounds.query, DATABASE, senders)
        for one in (*senders, watch):
            one.start()
        self._grounds.await_(lambda: watch.has_begun, "a stream does not land")
        threads = [self._next(fault, seconds) for fault, seconds in self._plan(count)]
        for thread in threads:
            thread.join()
        for sender in senders:
            sender.end()
        self._await_all(senders, watch)
        watch.end()
        self._conclude(senders, watch)
        self.report.seconds = time.monotonic() - began
        if self._failed:
            raise self._failed[0]
        return self.report

    def _plan(self, count: int) -> list[tuple[Fault, float]]:
        """Every kind about as often as the others, in random order."""
        by_kind: dict[str, list[Fault]] = defaultdict(list)
        for one in self._faults:
            by_kind[one.kind].append(one)
        kinds: list[str] = []
        while len(kinds) < count:
            kinds += self._chance.sample(sorted(by_kind), len(by_kind))
        chosen = [self._chance.choice(by_kind[kind]) for kind in kinds[:count]]
        return [(one, self._chance.uniform(*one.lasts)) for one in chosen]

    def _next(self, fault: Fault, seconds: float) -> threading.Thread:
        self._room.acquire()
        thread = threading.Thread(target=self._strike, args=(fault, seconds))
        thread.start()
        time.sleep(self._chance.uniform(*GAP))
        return thread

    def _strike(self, fault: Fault, seconds: float) -> None:
        try:
            with self._busy[fault.target]:
                self.report.tried[fault.kind] += 1
                fault.strike(seconds)
                self._ended.append((fault.kind, time.monotonic()))
        except BaseException as error:  # noqa: BLE001 - told at the end
            self._failed.append(error)
        finally:
            self._room.release()

    def _await_all(self, senders: Sequence[Sender], watch: Watch) -> None:
        certain = sum(one.total - sum(map(len, one.uncertain.values())) for one in senders)
        while watch.rows < certain and watch.idle_seconds < self._patience:
            time.sleep(0.5)
        # What is there too often may come a little later.
        time.sleep(5)

    def _conclude(self, senders: Sequence[Sender], watch: Watch) -> None:
        for kind, at in self._ended:
            self.report.stalls[kind] = max(self.report.stalls[kind], watch.stall(at))
        self.report.verdicts = [
            oracle.judge(self._grounds.query, DATABASE, sender) for sender in senders
        ]
        bad = [one.stream for one in self.report.verdicts if not one.is_good]
        self.report.ledgers = ledgers(self._grounds, bad)
