"""``python -m bench [PART…]``: run benchmarks and print one table of ratios.

Parts: ``ingest`` (Kafka to the typed table), ``freshness`` (event to queryable), ``query`` (an
endpoint), ``layer`` (the same before a backend that answers canned bytes), ``front`` (the embedded
engine's HTTP front). Without a name all of them run, in less than five minutes on two cores.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from pathlib import Path

PARTS = ("ingest", "freshness", "query", "layer", "front")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--messages", type=int, default=1_000_000, help="for ingest (%(default)s)")
    parser.add_argument("--seconds", type=float, default=6.0, help="for each rate (%(default)s)")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
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
