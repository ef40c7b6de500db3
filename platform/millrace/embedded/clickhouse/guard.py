"""The statement wall: checks what a user's query names, on the tree of the engine's own parser.

The tree comes from ``EXPLAIN AST``, which does not run the query. Each line is indented by depth
and names a node's kind. The names in it are whatever the user wrote, so the guard accepts only
plain names and refuses all others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from millrace.embedded.clickhouse.engine import EngineConnection
from millrace.embedded.clickhouse.errors import refuse
from millrace.embedded.clickhouse.pool import Borrowed
from tenants.warehouse.quoting import tab_separated

#: Lends a connection while its context lasts.
Borrow = Callable[[], AbstractContextManager[Borrowed]]

_LINE = re.compile(r"(?P<depth> *)(?P<kind>[A-Za-z]+)(?: (?P<rest>.*))?\Z")
_TAIL = re.compile(r"(?: \(alias [^()]*\))?(?: \(children \d+\))?\Z")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)?\Z")

#: Table functions that generate rows and read nothing.
_TABLE_FUNCTIONS = frozenset(
    [
        "numbers",
        "numbers_mt",
        "zeros",
        "zeros_mt",
        "generateseries",
        "generate_series",
        "values",
        "sqlstandardvalues",
        "primes",
        "null",
        "view",
        "generaterandom",
        "format",
    ]
)
#: Functions that read something besides their arguments.
_READING_FUNCTIONS = re.compile(
    r"(?:file|catboostevaluate|joinget|joingetornull|dict\w+|hascolumnintable|getserversetting|"
    r"getmergetreesetting|filesystem\w+|addressto\w+|demangle|trap|sleep\w*|show\w*|ai\w+|"
    r"generateserialid|currentqueryid|getmacro|hostname|fqdn|servername|buildid|tcpport|"
    r"server\w+|zookeeper\w*|logtrace|connectionid|mergetree\w*|evalmlmethod)\Z"
)
#: Functions that call the function named by their first argument.
_HIGHER_ORDER = re.compile(r"(?:array|map)[A-Z]")
_IN = re.compile(r"(?:global)?(?:not)?(?:null)?in(?:ignoreset)?\Z|(?:global)?(?:not)?nullin\w*\Z")
#: System tables that show nothing about other users.
_SYSTEM = frozenset(
    [
        "one",
        "settings",
        "numbers",
        "numbers_mt",
        "zeros",
        "zeros_mt",
        "functions",
        "formats",
        "data_type_families",
        "time_zones",
        "collations",
    ]
)
#: The statements that a user may run. SHOW and EXISTS would reveal other users' databases.
_STATEMENTS = frozenset(
    [
        "SelectWithUnionQuery",
        "SelectIntersectExceptQuery",
        "SelectQuery",
        "DescribeQuery",
        "Explain",
    ]
)
_CATALOGUE = frozenset(["tables", "columns", "databases"])


@dataclass(frozen=True)
class Node:
    """One line of EXPLAIN AST."""

    depth: int
    kind: str
    name: str


@dataclass(frozen=True)
class Rules:
    """What one user may name.

    With ``catalogue`` the user may read system.tables and the like, because the engine itself hides
    rows that are not granted.
    """

    databases: frozenset[str]
    catalogue: bool


def _nodes(text: str) -> Iterator[Node]:
    for line in text.split("\n"):
        match = _LINE.match(line)
        if match is not None:
            rest = _TAIL.sub("", match["rest"] or "")
            yield Node(len(match["depth"]), match["kind"], rest)


def _denied(what: str) -> Exception:
    return refuse(497, f"Not enough privileges. This user may not use {what}.")


def _check_table(name: str, rules: Rules) -> None:
    if not _NAME.match(name):
        raise _denied(f"a table by the name {name!r}; use a plain name")
    database, dot, table = name.partition(".")
    if not dot or database in rules.databases:
        return
    system = database.lower() in ("system", "information_schema")
    if database == "system" and table in _SYSTEM:
        return
    if system and rules.catalogue and table.lower() in _CATALOGUE:
        return
    raise _denied(f"the table {name}")


def judge(ast: str, rules: Rules) -> None:
    """Refuse a parsed query that names something it may not use; raises EngineError 497."""
    nodes = list(_nodes(ast))
    if not nodes or nodes[0].kind not in _STATEMENTS:
        raise _denied("statements other than SELECT, DESCRIBE and EXPLAIN")
    for at, node in enumerate(nodes):
        if node.kind == "TableIdentifier":
            _check_table(node.name, rules)
        elif node.kind == "Function":
            name = node.name.lower()
            if at and nodes[at - 1].kind == "TableExpression":
                _check_table_function(name)
            elif _READING_FUNCTIONS.match(name):
                raise _denied(f"the function {node.name}")
            elif _IN.match(name):
                _check_in(nodes, at, rules)
            else:
                _check_handed_on(nodes, at)


def _check_table_function(name: str) -> None:
    if name not in _TABLE_FUNCTIONS:
        raise _denied(f"the table function {name}")


def _check_handed_on(nodes: list[Node], at: int) -> None:
    """Check the first argument: ``arrayMap(file, …)`` calls ``file``, an identifier in the tree."""
    if not _HIGHER_ORDER.match(nodes[at].name):
        return
    first = next(iter(nodes[at + 2 : at + 3]), nodes[at])
    if first.kind == "Identifier" and _READING_FUNCTIONS.match(first.name.lower()):
        raise _denied(f"the function {first.name}")


def _check_in(nodes: list[Node], at: int, rules: Rules) -> None:
    """Check a name on the right of IN, which is a table."""
    depth = nodes[at].depth + 2
    arguments = []
    for node in nodes[at + 1 :]:
        if node.depth <= nodes[at].depth:
            break
        if node.depth == depth:
            arguments.append(node)
    if len(arguments) > 1 and arguments[1].kind in ("Identifier", "TableIdentifier"):
        _check_table(arguments[1].name, rules)


class Guard:
    """The statement wall. It caches parsed trees, so a published query is parsed only once."""

    def __init__(self) -> None:
        self._parse = lru_cache(maxsize=4096)(self._parsed)

    def check(self, borrow: Borrow, sql: str, bound: Mapping[str, str], rules: Rules) -> None:
        """Accept a statement or raise EngineError (497, or the parser's own error).

        ``borrow`` lends a connection with the user's profile but without limits on the result,
        because a tree may have more lines than the statement may have rows.
        """
        names = tuple(sorted(bound.items())) if "identifier" in sql.lower() else ()
        text = self._parse(_Source(borrow, sql, dict(bound)), sql, names)
        judge(text, rules)

    @staticmethod
    def _parsed(source: _Source, sql: str, names: tuple[tuple[str, str], ...]) -> str:
        return source.parse()


class _Source:
    """A statement to parse. All are equal, so that the cache's key is the other arguments."""

    def __init__(self, borrow: Borrow, sql: str, bound: Mapping[str, str]) -> None:
        self._borrow, self._sql, self._bound = borrow, sql, bound

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Source)

    def __hash__(self) -> int:
        return 0

    def parse(self) -> str:
        """Refuse anything but a single query, then return the engine's tree; raises EngineError."""
        with self._borrow() as borrowed:
            return self._parse(borrowed.connection)

    def _parse(self, connection: EngineConnection) -> str:
        kind, count = connection.classify(self._sql)
        if count > 1:
            raise refuse(62, "Multi-statements are not allowed.")
        if count == 1 and kind != "READ_ONLY":
            raise refuse(497, "Not enough privileges. This user may only read.")
        tree = connection.run(f"EXPLAIN AST {self._sql}", "TSVRaw", self._bound)
        text = bytes(tree.data).decode("utf-8", "replace")
        return text + self._applied(connection) if "ColumnsApplyTransformer" in text else text

    def _applied(self, connection: EngineConnection) -> str:
        """The functions that ``APPLY`` calls, in EXPLAIN AST's form, which itself omits them."""
        bound = {"sql": tab_separated(self._sql)}
        result = connection.run("SELECT parseQueryToJSON({sql:String})", "TSVRaw", bound)
        tree = json.loads(bytes(result.data).decode("utf-8", "replace"))
        lines = [line for node in _transformers(tree) for line in _lines(node, 0)]
        return "\n" + "\n".join(lines)


def _transformers(tree: Any) -> Iterator[dict[str, Any]]:
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    if isinstance(tree, dict) and tree.get("type") == "ColumnsApplyTransformer":
        yield {"type": "Function", "name": tree.get("func_name", "lambda"), "below": tree}
    for child in children:
        yield from _transformers(child)


def _lines(tree: Any, depth: int) -> Iterator[str]:
    """A tree from ``parseQueryToJSON`` in EXPLAIN AST's form: kinds, names and depth."""
    if isinstance(tree, list):
        for child in tree:
            yield from _lines(child, depth)
    elif isinstance(tree, dict):
        if "type" in tree:
            name = re.sub(r"\s", "?", str(tree.get("name", "")))
            yield f"{' ' * depth}{tree['type']} {name}"
        for child in tree.values():
            yield from _lines(child, depth + 1)
