"""``python -m bench [PART…]``: run benchmarks and print a table of ratios for each.

Parts: ``ingest`` (Kafka to the typed table), ``broken`` (the same with some broken messages),
``rabbitmq`` (a queue to the typed table), ``workers`` (one, two and four workers), ``freshness``
(from an event to its being queryable), ``query`` (an endpoint), ``fair_queries`` (one tenant's
call beside another's slow ones), ``layer`` (an endpoint in front of a backend that answers canned
bytes), ``keys`` (checking API keys and tokens), ``calls`` (microseconds of CPU of a call, and of
its key, limits and guard), ``front`` (the embedded engine's HTTP front), ``inserts`` (what a small
insert costs ClickHouse) and ``memory`` (a worker's memory under a backlog). Without a name all
these run, in about eleven minutes on two cores. Four parts run only by name: ``tenants`` (a
thousand tenants), ``wide`` (tables of 10 to 500 columns), ``idle`` (sources without events: the
worker's CPU, and a first event's delay) and ``backfill`` (a Parquet file to the typed table).
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import tempfile
from pathlib import Path

PARTS = (
    *("ingest", "broken", "rabbitmq", "workers", "freshness"),
    *("query", "fair_queries", "layer", "keys", "calls", "front", "inserts", "memory"),
)
#: Parts that run only by name.
NAMED = ("tenants", "wide", "idle", "backfill")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS + NAMED))
    parser.add_argument("--messages", type=int, default=2_000_000, help="for ingest (%(default)s)")
    parser.add_argument("--seconds", type=float, default=6.0, help="for each rate (%(default)s)")
    parser.add_argument(
        "--queue-messages", type=int, default=200_000, help="for rabbitmq (%(default)s)"
    )
    parser.add_argument(
        "--broken-messages", type=int, default=600_000, help="for broken (%(default)s)"
    )
    parser.add_argument(
        "--worker-messages", type=int, default=12_000_000, help="for workers (%(default)s)"
    )
    parser.add_argument("--tenants", type=int, default=1_000, help="for tenants (%(default)s)")
    parser.add_argument("--tenant-seconds", type=int, default=60, help="for tenants (%(default)s)")
    parser.add_argument(
        "--statements",
        type=int,
        default=0,
        help="for tenants: how many of the slowest Postgres statements to print to stderr "
        "(%(default)s)",
    )
    parser.add_argument(
        "--idle-sources", type=int, default=1_000, help="for idle, after 50 (%(default)s)"
    )
    parser.add_argument(
        "--memory-messages", type=int, default=1_000_000, help="for memory (%(default)s)"
    )
    parser.add_argument(
        "--backfill-rows", type=int, default=2_000_000, help="for backfill (%(default)s)"
    )
    parser.add_argument("--memory-large", type=int, default=60, help="for memory (%(default)s)")
    parser.add_argument(
        "--memory-partitions", type=int, default=500, help="for memory (%(default)s)"
    )
    parser.add_argument("--memory-tenants", type=int, default=60, help="for memory (%(default)s)")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS + NAMED):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    # A signal ends the run through SystemExit, so that no service is left running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        # Settings are read at the first import of Django.
        os.environ["MILLRACE_HOME"] = folder
        from bench import report
        from bench.installation import Installation

        with Installation(Path(folder)) as installation:
            for part in given.parts or PARTS:
                print(f"{part} …", file=sys.stderr, flush=True)
                results = importlib.import_module(f"bench.{part}").run(installation, given)
                report.show(part, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
