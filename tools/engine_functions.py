"""Updates the guard's list of ClickHouse's functions.

``python tools/engine_functions.py`` asks the embedded engine for all its functions, aggregate
combinators and table functions, and rewrites ``analytics_api/guard/verdicts.tsv``. Known verdicts
are kept. A new name gets the verdict ``open``: the guard refuses it and a test reports it until
somebody reviews what the function can reach and writes ``allowed`` or ``refused`` with the reason.
Names that the engine no longer has are removed.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

from analytics_api.guard.verdicts import FILE, Verdict, read, write  # noqa: E402

#: Every name that a query can call, as the engine lists them: kind, name, and ``lambda`` or ''.
NAMES_SQL = """
SELECT kind, name, takes FROM (
SELECT if(is_aggregate, 'aggregate', 'function') AS kind, name,
    if(higher_order = 1, 'lambda', '') AS takes FROM system.functions
UNION ALL
SELECT 'combinator' AS kind, name, '' AS takes FROM system.aggregate_function_combinators
UNION ALL
SELECT 'table' AS kind, name, '' AS takes FROM system.table_functions
) ORDER BY kind, lower(name), name
"""


def merged(names: Iterable[Sequence[str]], known: Iterable[Verdict]) -> list[Verdict]:
    """The engine's names with their known verdicts, and the names of kind ``syntax`` unchanged."""
    verdicts = {(verdict.kind, verdict.name): verdict for verdict in known}
    fresh = []
    for kind, name, takes in names:
        new = Verdict(kind, name, "open", "no verdict yet")
        fresh.append(replace(verdicts.get((kind, name), new), takes=takes))
    return [*fresh, *(verdict for verdict in verdicts.values() if verdict.kind == "syntax")]


def engine_names() -> list[list[str]]:
    """The rows of NAMES_SQL from the embedded engine."""
    from millrace.embedded.clickhouse.config import write as write_config
    from millrace.embedded.clickhouse.engine import Engine

    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        engine = Engine(folder / "store", write_config(folder, {}), folder)
        connection = engine.connect()
        lines = connection.text(NAMES_SQL).split("\n")
        connection.close()
        engine.close()
    return [line.split("\t") for line in lines]


def main() -> None:
    known = read() if FILE.exists() else []
    verdicts = merged(engine_names(), known)
    write(verdicts)
    unjudged = [verdict for verdict in verdicts if verdict.verdict == "open"]
    gone = {(v.kind, v.name) for v in known} - {(v.kind, v.name) for v in verdicts}
    lines = [f"{len(verdicts)} names, {len(gone)} removed, {len(unjudged)} without a verdict"]
    lines += [f"  {verdict.kind} {verdict.name}" for verdict in unjudged]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
