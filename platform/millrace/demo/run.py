"""Runs the demo: prepares tenants and streams, sends the events, shows and checks the result."""

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
    """What a run has streamed: new events, the seconds that took, and the measured latencies.

    ``to_queryable`` has, for each probe, the seconds from sending it until a query counted it.
    """

    events: int
    seconds: float
    to_queryable: list[float]


class Demo:
    """The demo on a running stack: call ``prepare``, ``stream``, then ``show`` or ``check``."""

    def __init__(self, stack: Stack, console: Console) -> None:
        self._stack, self._console = stack, console
        self._journal = Journal(stack.home)
        self._slugs = [*(airline.slug for airline in AIRLINES), WEATHER]

    @property
    def _web(self) -> str:
        return self._stack.urls["WEB_URL"]

    def prepare(self) -> None:
        """Apply the demo's files, and create topics, the queue and API keys."""
        rabbitmq = self._rabbitmq()
        streaming.make_streams(self._stack.urls, rabbitmq=rabbitmq)
        self._console.print(f"Applying the configuration files of {len(self._slugs)} tenants ...")
        _apply(rabbitmq=rabbitmq)
        self._keys = keys(self._journal, self._slugs)
        rows = streaming.rows_by_tenant(data.flights(), data.weather())
        self._stage = Stage(
            self._stack.urls, self._keys[WEATHER], rows, self._journal, rabbitmq=rabbitmq
        )

    def _rabbitmq(self) -> bool:
        """Whether one airline uses RabbitMQ. The first run decides, and later runs keep to it."""
        reason = RabbitMQ(self._stack.home).why_unavailable()
        if reason:
            self._console.print(f"{reason} Without it, {ON_RABBITMQ} uses Kafka.")
        known = self._journal.get("rabbitmq")
        if known is None:
            known = reason is None
            self._journal.put(rabbitmq=known)
        return bool(known)

    def stream(self) -> Streamed:
        """Send the events that were not sent yet and wait until all have landed; raises Stalled."""
        stage, sent, failed = self._stage, Sent(), list[str]()
        before = sum(tenant.there for tenant in counts(self._slugs).values())
        held_back = self._held_back()
        began = time.monotonic()
        threads = streaming.start(self._without(held_back), sent, failed)
        total = stage.total - held_back
        Watch(self._console, total, self._slugs, sent).until_all_is_there(threads, failed)
        seconds = time.monotonic() - began
        probes = list(islice(weather_events(stage.rows[WEATHER], self._weather_end()), held_back))
        if probes:
            self._console.print("Measuring the time from event to queryable ...")
        times = measure.seconds_to_queryable(self._web, self._keys[WEATHER], probes)
        return Streamed(total - before, seconds, times)

    def _held_back(self) -> int:
        """How many of the last readings are sent one by one; 0 if an earlier run has sent them."""
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

    # --- Output ---------------------------------------------------------------------------------

    def show(self, streamed: Streamed) -> None:
        """Print totals, where to log in, API keys, and commands to paste."""
        self.leftovers(patience=5.0)  # counters are updated shortly after the rows they count
        self._console.print(self._totals(counts(self._slugs)))
        self._console.print(_rates(streamed))
        password = installation_secrets.read(self._stack.home)["admin"]
        self._print(f"\nAdmin  {self._web}/admin/   as {ADMIN}, first password {password}")
        self._print(f"API    {self._web}/api/docs")
        self._print("\nAPI keys, one for each tenant")
        for slug in self._slugs:
            self._print(f"  {slug:<11} {self._keys[slug]}")
        for line in self._lines():
            self._print(f"\n# {line.about}\n{line.command}")

    def _print(self, text: str) -> None:
        # Commands to paste must be neither wrapped nor coloured.
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)

    def _lines(self) -> list[CurlLine]:
        return lines(self._web, self._keys)

    def _totals(self, landed: dict[str, LandedCounts]) -> Grid:
        grid = Grid("Tenant", "Over", box=None, pad_edge=False, header_style="bold")
        for heading in ("Sent", "Landed", "Quarantined"):
            grid.add_column(heading, justify="right")
        over = {airline.slug: "Kafka" for airline in AIRLINES} | {WEATHER: "HTTP"}
        if self._stage.rabbitmq:
            over[ON_RABBITMQ] = "RabbitMQ"
        for slug in self._slugs:
            tenant, sent = landed[slug], self._stage.rows[slug].num_rows
            numbers = (f"{number:,}" for number in (sent, tenant.landed, tenant.quarantined))
            grid.add_row(slug, over[slug], *numbers)
        rows = sum(tenant.landed for tenant in landed.values())
        misfits = sum(tenant.quarantined for tenant in landed.values())
        sums = (f"{number:,}" for number in (self._stage.total, rows, misfits))
        grid.add_row("all", "", *sums, style="bold")
        return grid

    def check(self) -> list[str]:
        """What differs from the files, and which printed lines answer wrongly."""
        wrong = list(differences(self._stage.rows))
        printed = self._lines()
        wrong += [problem for line in printed if (problem := call(line))]
        if not wrong:
            wrong += filter(None, [compared(printed[0], self._stage.rows["united"])])
        return wrong

    def leftovers(self, patience: float = 15.0) -> list[str]:
        """Tenants whose counters don't add up to the events sent.

        Counters are updated shortly after the rows, so this waits up to ``patience`` seconds.
        """
        until = time.monotonic() + patience
        while (wrong := list(self._uneven())) and time.monotonic() < until:
            time.sleep(0.5)
        return wrong

    def _uneven(self) -> Iterator[str]:
        for slug, got in counts(self._slugs).items():
            sent = self._stage.rows[slug].num_rows
            if got.there != sent:
                yield (
                    f"{slug}: {got.landed:,} landed + {got.quarantined:,} quarantined, "
                    f"but {sent:,} sent"
                )


def _apply(*, rabbitmq: bool, patience: float = 60.0) -> None:
    """Apply the demo's files; waits up to ``patience`` seconds while ClickHouse restarts."""
    until = time.monotonic() + patience
    while True:
        try:
            apply(files(rabbitmq=rabbitmq), lambda _: None)
        except ConfigurationError as error:
            away = all(mistake.message == UNREACHABLE for mistake in error.mistakes)
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
            "reading the files until the rows are in the tables."
        )
    else:
        parts.append("All events were there already, so nothing was sent again.")
    if streamed.to_queryable:
        parts.append(f"From event to queryable: {measure.summary(streamed.to_queryable)}.")
    return " ".join(parts)
