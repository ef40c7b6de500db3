"""Brings the guard's list of the engine's functions up to date.

``python tools/engine_functions.py`` asks the embedded engine for every function, aggregate
combinator and table function it has, and writes ``analytics_api/guard/verdicts.tsv`` anew. A
verdict that stands there is kept; a name that is new gets the verdict ``open``, which the guard
refuses and a test reports, until somebody reads what it can reach and writes ``allowed`` or
``refused`` with the reason. Names that the engine no longer has go.
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

#: Every name that a query can call, as the engine itself tells it: kind and name.
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
    """The engine's names with the verdicts that are known; names of mere syntax stay."""
    verdicts = {(one.kind, one.name): one for one in known}
    fresh = []
    for kind, name, takes in names:
        new = Verdict(kind, name, "open", "no verdict yet")
        fresh.append(replace(verdicts.get((kind, name), new), takes=takes))
    return [*fresh, *(one for one in verdicts.values() if one.kind == "syntax")]


def engine_names() -> list[list[str]]:
    """Kind, name, and whether it takes a lambda, of all that the embedded engine has."""
    from millrace.embedded.clickhouse.config import write as write_config
    from millrace.embedded.clickhouse.engine import Engine

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
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
    unjudged = [one for one in verdicts if one.verdict == "open"]
    gone = {(o.kind, o.name) for o in known} - {(o.kind, o.name) for o in verdicts}
    lines = [f"{len(verdicts)} names, {len(gone)} gone, {len(unjudged)} without a verdict"]
    lines += [f"  {one.kind} {one.name}" for one in unjudged]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
