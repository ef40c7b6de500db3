"""``python -m bench [PART…]``: run benchmarks and print one table of ratios.

Parts: ``ingest`` (Kafka to the typed table), ``broken`` (the same with broken messages among them),
``rabbitmq`` (a queue to the typed table), ``workers`` (one, two and four of them), ``freshness``
(event to queryable), ``query`` (an endpoint), ``fair_queries`` (one tenant's call beside another's
slow ones), ``layer`` (an endpoint before a backend that answers canned bytes), ``keys`` (to check
who calls), ``calls`` (the microseconds of CPU of a call, of its key, limits and guard), ``front``
(the embedded engine's HTTP front), ``inserts`` (what a small one costs the engine), ``memory`` (of
a worker under a backlog). Without a name all of them run, in about eleven minutes on two cores.
By their names alone run ``tenants`` (a thousand of them), ``wide`` (tables of 10 to 500 columns)
and ``idle`` (sources that bring nothing: what the worker takes, and a first event's time).
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
#: Parts that take longer, and run only by name.
NAMED = ("tenants", "wide", "idle")


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
        help="for tenants: say to stderr which Postgres statements took longest (%(default)s)",
    )
    parser.add_argument(
        "--idle-sources", type=int, default=1_000, help="for idle, after 50 (%(default)s)"
    )
    parser.add_argument(
        "--memory-messages", type=int, default=1_000_000, help="for memory (%(default)s)"
    )
    parser.add_argument("--memory-large", type=int, default=60, help="for memory (%(default)s)")
    parser.add_argument(
        "--memory-partitions", type=int, default=500, help="for memory (%(default)s)"
    )
    parser.add_argument("--memory-tenants", type=int, default=60, help="for memory (%(default)s)")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS + NAMED):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    # Ended by a signal, it leaves no service behind.
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
