"""How far the demo is: sent, landed, quarantined, of how many; a bar, or lines where none is."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from django.db import OperationalError, connection
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ingestion.models import Source
from ingestion.monitoring.source_status import source_status

#: Seconds between looks, and between lines where the output is no terminal.
LOOK, LINE = 0.5, 3.0


@dataclass(frozen=True, slots=True)
class LandedCounts:
    landed: int
    quarantined: int

    @property
    def there(self) -> int:
        return self.landed + self.quarantined


def counts(slugs: list[str]) -> dict[str, LandedCounts]:
    """What each tenant's sources have brought into its tables, by the tenant's slug."""
    found = source_status(Source.objects.filter(tenant__slug__in=slugs))
    return {one.tenant: LandedCounts(one.landed, one.quarantined) for one in found}


class Sent:
    """Counts events that are safe with their broker; used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.events = 0

    def add(self, count: int) -> None:
        with self._lock:
            self.events += count


class Stalled(Exception):
    """Nothing has moved for a long time."""


class Watch:
    """Shows the progress until all is there; ``patience`` is the longest standstill in seconds."""

    def __init__(
        self, console: Console, total: int, slugs: list[str], sent: Sent, patience: float = 90.0
    ) -> None:
        self._console, self._total, self._slugs, self._sent = console, total, slugs, sent
        self._patience = patience

    def _there(self, before: int) -> int:
        """Events in ClickHouse; as ``before`` while Postgres is away."""
        try:
            return sum(one.there for one in counts(self._slugs).values())
        except OperationalError:
            connection.close()
            return before

    def until_all_is_there(self, sending: list[threading.Thread], failed: list[str]) -> None:
        """Return when every event is in a table or a quarantine; raises Stalled.

        ``failed`` is filled by the senders; the first entry ends the wait.
        """
        began = moved = shown = time.monotonic()
        last = (-1, -1)
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        ) as progress:
            task = progress.add_task("Streaming", total=self._total, text="")
            while True:
                there = self._there(max(0, last[0]))
                now = (there, self._sent.events)
                text = f"{self._sent.events:,} sent, {there:,} of {self._total:,} in ClickHouse"
                progress.update(task, completed=there, text=text)
                if not self._console.is_terminal and time.monotonic() - shown >= LINE:
                    shown = time.monotonic()
                    self._console.print(f"{shown - began:5.0f} s  {text}")
                if failed:
                    raise Stalled(failed[0])
                if there >= self._total and not any(one.is_alive() for one in sending):
                    return
                moved = time.monotonic() if now != last else moved
                if time.monotonic() - moved > self._patience:
                    raise Stalled(f"Nothing has moved for {self._patience:.0f} s: {text}.")
                last = now
                time.sleep(LOOK)
