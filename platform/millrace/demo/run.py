"""The demo from start to end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from rich.console import Console
from rich.table import Table as Grid

from millrace.configuration.apply import apply
from millrace.configuration.errors import ConfigurationError
from millrace.demo import data, measure, streaming
from millrace.demo.cast import AIRLINES, ON_RABBITMQ, WEATHER, files
from millrace.demo.events import weather_events
from millrace.demo.journal import Journal
from millrace.demo.keys import keys
from millrace.demo.lines import CurlLine, lines
from millrace.demo.progress import LandedCounts, Sent, Watch, counts
from millrace.demo.row_check import call, compared, differences
from millrace.demo.streaming import Stage
from millrace.embedded import installation_secrets
from millrace.embedded.install import ADMIN
from millrace.embedded.rabbitmq import RabbitMQ
from millrace.embedded.stack import Stack
from tenants.warehouse.errors import UNREACHABLE


@dataclass(frozen=True)
class Streamed:
    """What a run has streamed: events that were new, and in how many seconds."""

    events: int
    seconds: float
    to_queryable: list[float]


class Demo:
    """Use, on a stack that is up: ``prepare``, ``stream``, then ``show`` or ``check``."""

    def __init__(self, stack: Stack, console: Console) -> None:
        self._stack, self._console = stack, console
        self._journal = Journal(stack.home)
        self._slugs = [*(one.slug for one in AIRLINES), WEATHER]

    @property
    def _web(self) -> str:
        return self._stack.urls["WEB_URL"]

    def prepare(self) -> None:
        """Tenants, streams, tables and queries by the files; topics, queue and keys."""
        rabbitmq = self._rabbitmq()
        streaming.make_streams(self._stack.urls, rabbitmq=rabbitmq)
        self._console.print(f"Applying the files of {len(self._slugs)} tenants ...")
        _apply(rabbitmq=rabbitmq)
        self._keys = keys(self._journal, self._slugs)
        rows = streaming.rows_by_tenant(data.flights(), data.weather())
        self._stage = Stage(
            self._stack.urls, self._keys[WEATHER], rows, self._journal, rabbitmq=rabbitmq
        )

    def _rabbitmq(self) -> bool:
        """Whether one airline is on RabbitMQ; what was so at the first run stays so."""
        reason = RabbitMQ(self._stack.home).why_unavailable()
        if reason:
            self._console.print(f"{reason} Until then {ON_RABBITMQ} goes over Kafka.")
        known = self._journal.get("rabbitmq")
        if known is None:
            known = reason is None
            self._journal.put(rabbitmq=known)
        return bool(known)

    def stream(self) -> Streamed:
        """Send what was not sent yet and wait until all is there; raises Stalled."""
        stage, sent, failed = self._stage, Sent(), list[str]()
        before = sum(one.there for one in counts(self._slugs).values())
        held_back = self._held_back()
        began = time.monotonic()
        threads = streaming.start(self._without(held_back), sent, failed)
        total = stage.total - held_back
        Watch(self._console, total, self._slugs, sent).until_all_is_there(threads, failed)
        seconds = time.monotonic() - began
        probes = list(islice(weather_events(stage.rows[WEATHER], self._weather_end()), held_back))
        if probes:
            self._console.print("Measuring from event to queryable ...")
        times = measure.seconds_to_queryable(self._web, self._keys[WEATHER], probes)
        return Streamed(total - before, seconds, times)

    def _held_back(self) -> int:
        """The last readings are sent one by one, unless an earlier run has sent them."""
        from millrace.demo.send_http import taken

        missing: int = self._stage.rows[WEATHER].num_rows - taken()
        return min(measure.PROBES, missing)

    def _weather_end(self) -> int:
        end: int = self._stage.rows[WEATHER].num_rows - self._held_back()
        return end

    def _without(self, count: int) -> Stage:
        rows = dict(self._stage.rows)
        rows[WEATHER] = rows[WEATHER].slice(0, rows[WEATHER].num_rows - count)
        stage = self._stage
        return Stage(stage.urls, stage.weather_key, rows, stage.journal, rabbitmq=stage.rabbitmq)

    # --- What to look at ------------------------------------------------------------------------

    def show(self, streamed: Streamed) -> None:
        """Totals, where to log in, keys, and lines to paste."""
        self.leftovers(patience=5.0)  # the counters of the last events follow their rows
        found = counts(self._slugs)
        self._console.print(self._totals(found))
        self._console.print(_rates(streamed))
        password = installation_secrets.read(self._stack.home)["admin"]
        self._print(f"\nAdmin  {self._web}/admin/   as {ADMIN}, first password {password}")
        self._print(f"API    {self._web}/api/docs")
        self._print("\nAPI keys, each of one tenant")
        for slug in self._slugs:
            self._print(f"  {slug:<11} {self._keys[slug]}")
        for line in self._lines():
            self._print(f"\n# {line.about}\n{line.command}")

    def _print(self, text: str) -> None:
        # Lines that are pasted must neither be wrapped nor coloured.
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)

    def _lines(self) -> list[CurlLine]:
        return lines(self._web, self._keys)

    def _totals(self, found: dict[str, LandedCounts]) -> Grid:
        grid = Grid("Tenant", "Over", box=None, pad_edge=False, header_style="bold")
        for heading in ("Sent", "Landed", "Quarantined"):
            grid.add_column(heading, justify="right")
        over = {one.slug: "Kafka" for one in AIRLINES} | {WEATHER: "HTTP"}
        if self._stage.rabbitmq:
            over[ON_RABBITMQ] = "RabbitMQ"
        for slug in self._slugs:
            one, sent = found[slug], self._stage.rows[slug].num_rows
            numbers = (f"{number:,}" for number in (sent, one.landed, one.quarantined))
            grid.add_row(slug, over[slug], *numbers)
        landed = sum(one.landed for one in found.values())
        misfits = sum(one.quarantined for one in found.values())
        sums = (f"{number:,}" for number in (self._stage.total, landed, misfits))
        grid.add_row("all", "", *sums, style="bold")
        return grid

    def check(self) -> list[str]:
        """What differs from the files, and which line does not answer as it should."""
        wrong = list(differences(self._stage.rows))
        found = self._lines()
        wrong += [problem for line in found if (problem := call(line))]
        if not wrong:
            wrong += filter(None, [compared(found[0], self._stage.rows["united"])])
        return wrong

    def leftovers(self, patience: float = 15.0) -> list[str]:
        """Tenants whose counters do not add up to what was sent; they follow the rows shortly."""
        until = time.monotonic() + patience
        while (wrong := list(self._uneven())) and time.monotonic() < until:
            time.sleep(0.5)
        return wrong

    def _uneven(self) -> Iterator[str]:
        for slug, one in counts(self._slugs).items():
            sent = self._stage.rows[slug].num_rows
            if one.there != sent:
                yield f"{slug}: {one.landed:,} landed + {one.quarantined:,} quarantined != {sent:,}"


def _apply(*, rabbitmq: bool, patience: float = 60.0) -> None:
    """Apply the demo's files; an engine that is just starting again is waited for."""
    until = time.monotonic() + patience
    while True:
        try:
            apply(files(rabbitmq=rabbitmq), lambda _: None)
        except ConfigurationError as error:
            away = all(one.message == UNREACHABLE for one in error.mistakes)
            if not away or time.monotonic() > until:
                raise
            time.sleep(1)
        else:
            return


def _rates(streamed: Streamed) -> str:
    parts = []
    if streamed.events:
        rate = streamed.events / streamed.seconds
        parts.append(
            f"{streamed.events:,} events in {streamed.seconds:.1f} s: {rate:,.0f} rows/s, from "
            "reading the files to the tables."
        )
    else:
        parts.append("All was there already: nothing was sent, nothing is twice.")
    if streamed.to_queryable:
        parts.append(f"From event to queryable: {measure.told(streamed.to_queryable)}.")
    return " ".join(parts)
