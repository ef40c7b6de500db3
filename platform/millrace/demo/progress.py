"""Shows the demo's progress (events sent and in ClickHouse) as a bar, or as lines in a file."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from django.db import OperationalError, connection
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ingestion.models import Source
from ingestion.monitoring.source_status import source_status

#: Seconds between checks, and between lines if the output is not a terminal.
LOOK, LINE = 0.5, 3.0


@dataclass(frozen=True, slots=True)
class LandedCounts:
    """Rows in a tenant's tables, and messages in their quarantines."""

    landed: int
    quarantined: int

    @property
    def there(self) -> int:
        return self.landed + self.quarantined


def counts(slugs: list[str]) -> dict[str, LandedCounts]:
    """The landed and quarantined events of each tenant, by slug. A tenant has one source."""
    statuses = source_status(Source.objects.filter(tenant__slug__in=slugs))
    return {status.tenant: LandedCounts(status.landed, status.quarantined) for status in statuses}


class Sent:
    """Counts events that a broker has confirmed; used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.events = 0

    def add(self, count: int) -> None:
        with self._lock:
            self.events += count


class Stalled(Exception):
    """A sender failed, or the demo made no progress for too long."""


class Watch:
    """Shows the progress until all events are in ClickHouse.

    ``patience`` is how many seconds may pass without progress.
    """

    def __init__(
        self, console: Console, total: int, slugs: list[str], sent: Sent, patience: float = 90.0
    ) -> None:
        self._console, self._total, self._slugs, self._sent = console, total, slugs, sent
        self._patience = patience

    def _there(self, before: int) -> int:
        """The number of events in ClickHouse; ``before`` while Postgres does not answer."""
        try:
            return sum(tenant.there for tenant in counts(self._slugs).values())
        except OperationalError:
            connection.close()
            return before

    def until_all_is_there(self, sending: list[threading.Thread], failed: list[str]) -> None:
        """Wait until every event is in a table or a quarantine; raises Stalled.

        Senders append their errors to ``failed``; the first error ends the wait.
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
                if there >= self._total and not any(thread.is_alive() for thread in sending):
                    return
                moved = time.monotonic() if now != last else moved
                if time.monotonic() - moved > self._patience:
                    raise Stalled(f"No progress for {self._patience:.0f} s: {text}.")
                last = now
                time.sleep(LOOK)
