"""chDB in this process: ``python -m bench.rivals.chdb_inline SECONDS``."""

from __future__ import annotations

import json
import sys
import tempfile
import time

from chdb import session

from bench.front import SETUP, SQL


def main(seconds: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = session.Session(folder)
        engine.query("CREATE DATABASE IF NOT EXISTS bench")
        engine.query("USE bench")
        for statement in SETUP:
            engine.query(statement)
        for _ in range(100):
            engine.query(SQL, "JSON")
        began, spent, queries = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - began < float(seconds):
            engine.query(SQL, "JSON").bytes()
            queries += 1
        outcome = {
            "queries": queries,
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - spent,
        }
        engine.close()
    print(json.dumps(outcome))


if __name__ == "__main__":
    main(*sys.argv[1:])
