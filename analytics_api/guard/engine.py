"""The statement as ClickHouse's own parser reads it, held against the same allow-lists.

``parseQueryToJSON`` (ClickHouse 26) gives the tree as JSON. An older server is asked for
``EXPLAIN AST``, whose lines name every node; what they don't name (the function of ``APPLY``) the
tokens have shown already.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from analytics_api.guard import names
from analytics_api.guard.errors import QueryRefused

#: Both take the text of the statement, and neither runs it.
PARSE_SQL = "SELECT parseQueryToJSON({sql:String}) AS tree"
#: ClickHouse's code for a function that this server doesn't have.
UNKNOWN_FUNCTION = 46

_NODES = frozenset(
    {
        "SelectWithUnionQuery",
        "SelectIntersectExceptQuery",
        "SelectQuery",
        "Subquery",
        "ExpressionList",
        "WithElement",
        "Literal",
        "Identifier",
        "Function",
        "QueryParameter",
        "Asterisk",
        "QualifiedAsterisk",
        "ColumnsRegexpMatcher",
        "ColumnsListMatcher",
        "QualifiedColumnsRegexpMatcher",
        "QualifiedColumnsListMatcher",
        "ColumnsTransformerList",
        "ColumnsExceptTransformer",
        "ColumnsReplaceTransformer",
        "ColumnsReplaceTransformerReplacement",
        "ColumnsReplaceTransformer::Replacement",
        "ColumnsApplyTransformer",
        "TablesInSelectQuery",
        "TablesInSelectQueryElement",
        "TableExpression",
        "TableIdentifier",
        "TableJoin",
        "ArrayJoin",
        "SampleRatio",
        "OrderByElement",
        "InterpolateElement",
        "WindowDefinition",
        "WindowListElement",
        "DataType",
        "NameTypePair",
    }
)
_IN = frozenset(
    f"{place}{word}" for place in ("", "global") for word in ("In", "NotIn", "NullIn", "NotNullIn")
)
_OPERATORS = frozenset({"lambda", "exists", "casewithexpression"}) | {name.lower() for name in _IN}
_CLAUSES = ("out_file", "settings", "settings_ast", "format_ast", "format")


def check_json(text: str, *, tables: Collection[str], database: str) -> None:
    """Hold a tree from ``parseQueryToJSON`` against the allow-lists; raises QueryRefused."""
    tree = json.loads(text)
    nodes = list(_walk(tree, ""))
    if tree.get("type") != "SelectWithUnionQuery":
        raise _refused(f"ClickHouse reads it as {tree.get('type')}, not as a SELECT.")
    ctes = {node["name"] for _, node in nodes if node["type"] == "WithElement"}
    for place, node in nodes:
        _check_node(node, place)
        _check_names(node, tables={*tables, *ctes}, own=tables, database=database)


def _walk(node: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node, with the key under which it stands."""
    if isinstance(node, dict):
        if "type" in node:
            yield place, node
        for key, child in node.items():
            yield from _walk(child, key)
    elif isinstance(node, list):
        for child in node:
            yield from _walk(child, place)


def _check_node(node: dict[str, Any], place: str) -> None:
    if node["type"] not in _NODES:
        raise _refused(f"ClickHouse reads {node['type']} in it, which is not allowed.")
    for clause in _CLAUSES:
        if node.get(clause):
            raise _refused(f"ClickHouse reads a clause in it that is not allowed ({clause}).")
    if node["type"] == "Function":
        _check_function(node["name"], table=place == "table_function")
    if "func_name" in node:
        _check_function(node["func_name"], table=False)
    if node.get("param_type") == "Identifier":
        raise _refused("A parameter may be a value, never a name.")


def _check_function(name: str, *, table: bool) -> None:
    fine = (
        names.is_table_function(name)
        if table
        else names.is_function(name) or name.lower() in _OPERATORS
    )
    if not fine:
        kind = "table function" if table else "function"
        raise _refused(f"ClickHouse reads the {kind} {name} in it, which is not allowed.")


def _check_names(
    node: dict[str, Any],
    *,
    tables: Collection[str],
    own: Collection[str],
    database: str,
) -> None:
    if node["type"] == "TableIdentifier":
        _check_table(_parts(node), tables=tables, own=own, database=database)
    if node["type"] == "Function" and node["name"].lower() in {name.lower() for name in _IN}:
        right = node["arguments"]["children"][1]
        if right["type"] == "Identifier" and len(_parts(right)) > 1:
            _check_table(_parts(right), tables=tables, own=own, database=database)


def _parts(node: dict[str, Any]) -> list[str]:
    return list(node.get("name_parts") or [node["name"]])


def _check_table(
    parts: list[str], *, tables: Collection[str], own: Collection[str], database: str
) -> None:
    known = (len(parts) == 1 and parts[0] in tables) or (
        len(parts) == 2 and parts[0] == database and parts[1] in own
    )
    if not known:
        raise _refused(f"ClickHouse reads the table {'.'.join(parts)} in it.")


_LINE = re.compile(r" *(?P<kind>[A-Za-z:]+)(?: (?P<name>[^ ]+))?")


def check_explained(lines: Collection[str], *, tables: Collection[str], database: str) -> None:
    """Hold the lines of ``EXPLAIN AST`` against the allow-lists; raises QueryRefused."""
    nodes = [(found["kind"], found["name"] or "") for found in map(_LINE.match, lines) if found]
    ctes = {name for kind, name in nodes if kind == "WithElement"}
    inside_table = False
    for kind, name in nodes:
        if kind not in _NODES:
            raise _refused(f"ClickHouse reads {kind} in it, which is not allowed.")
        if kind == "Function":
            _check_function(name, table=inside_table)
        if kind == "TableIdentifier":
            parts = name.split(".")
            _check_table(parts, tables={*tables, *ctes}, own=tables, database=database)
        inside_table = kind == "TableExpression"


def _refused(message: str) -> QueryRefused:
    return QueryRefused("engine", message)
