"""Checks a repair: a ClickHouse expression over ``raw`` that gives a message's new text.

ClickHouse rewrites the author's text and returns its tree (``formatQuerySingleLine`` and
``parseQueryToJSON``, since 26.8). The text is bound as a value, so nothing of it runs. Only known
kinds of nodes pass, and the text that ClickHouse has written is the one that runs later.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from ingestion.errors import IngestionError
from ingestion.quarantine.repair_functions import FUNCTIONS
from tenants.warehouse import client
from tenants.warehouse.errors import StatementFailed

#: The most characters of an expression.
MOST = 10_000
_PREFIX = "SELECT "
#: As base64, because a text in the expression may hold bytes that are not UTF-8.
_WRITE = (
    "WITH formatQuerySingleLine({sql:String}) AS written, parseQueryToJSON(written) AS tree "
    "SELECT base64Encode(written) AS text, base64Encode(tree) AS json, "
    "formatQueryFromJSON(tree) = written AS whole"
)
_UNKNOWN_FUNCTION = 46
_FORM = "Write one expression over raw, such as replaceOne(raw, '\"n/a\"', 'null')."
_TYPES = frozenset({"String", "Nullable(String)", "LowCardinality(String)"})
_KEYS: dict[str, frozenset[str]] = {
    "Function": frozenset(
        {"type", "name", "arguments", "is_operator", "is_lambda_function", "kind"}
    ),
    "Identifier": frozenset({"type", "name", "name_parts"}),
    "Literal": frozenset({"type", "value"}),
    "ExpressionList": frozenset({"type", "children"}),
}

Node = Mapping[str, Any]


class RepairRefused(IngestionError):
    """The expression is not allowed, or ClickHouse refuses it; the message says why."""


def checked(expression: str) -> str:
    """The expression as ClickHouse writes it; '' stays ''.

    Raises RepairRefused and WarehouseError.
    """
    if not expression.strip():
        return ""
    if len(expression) > MOST:
        msg = f"The expression has {len(expression):,} characters; at most {MOST:,} are allowed."
        raise RepairRefused(msg)
    if "\0" in expression:
        raise RepairRefused("The expression contains a NUL character. Remove it.")
    text, tree = _written(expression)
    _check(_only_expression(tree), frozenset({"raw"}))
    _check_type(text)
    return text


def _written(expression: str) -> tuple[str, Node]:
    try:
        (row,) = client.read_only_rows(_WRITE, {"sql": _PREFIX + expression})
    except StatementFailed as error:
        if error.code == _UNKNOWN_FUNCTION:
            msg = "This ClickHouse can't check expressions. Repairs need ClickHouse 26.8 or later."
            raise RepairRefused(msg) from error
        said = error.message.split(": In scope")[0][:200]
        raise RepairRefused(f"ClickHouse can't read the expression: {said} {_FORM}") from error
    try:
        text = b64decode(row["text"]).decode()
    except UnicodeDecodeError:
        text = ""
    if not row["whole"] or not text.startswith(_PREFIX):
        raise RepairRefused(f"The expression can't be checked. {_FORM}")
    return text.removeprefix(_PREFIX), json.loads(b64decode(row["json"]).decode("utf-8", "replace"))


def _only_expression(tree: Node) -> Node:
    """The one expression of a SELECT that has nothing else."""
    selects = tree.get("list_of_selects", {}).get("children", [])
    select = selects[0] if len(selects) == 1 else {}
    if set(select) != {"type", "select"} or set(select["select"]) != {"type", "children"}:
        raise RepairRefused(f"A repair is an expression, without clauses. {_FORM}")
    expressions = select["select"]["children"]
    if len(expressions) != 1:
        raise RepairRefused(f"A repair is one expression, not {len(expressions)}. {_FORM}")
    return dict(expressions[0])


def _check(node: Node, names: frozenset[str]) -> None:
    """Raise RepairRefused unless the node and all below it are allowed; ``names`` are in scope."""
    kind = str(node.get("type"))
    if kind == "Subquery":
        raise RepairRefused("Subqueries are not allowed: a repair sees its one message.")
    is_window = node.get("kind", "LAMBDA_FUNCTION") != "LAMBDA_FUNCTION"
    if is_window or set(node) - _KEYS.get(kind, frozenset()):
        raise RepairRefused(f"This is not allowed in a repair: {_named(node)}. {_FORM}")
    if kind == "Identifier" and node["name"] not in names:
        raise RepairRefused(f"{node['name']!r} is unknown here. A repair has only raw.")
    if kind == "Literal" and "AggregateFunction" in json.dumps(node["value"]):
        raise RepairRefused("States of aggregate functions are not allowed in a repair.")
    if kind == "Function":
        _check_call(node, names)
        return
    for child in node.get("children", ()):
        _check(child, names)


def _check_call(node: Node, names: frozenset[str]) -> None:
    name, arguments = str(node["name"]), node.get("arguments", {}).get("children", [])
    if name.lower() not in FUNCTIONS:
        msg = (
            f"The function {name} is not allowed in a repair. Allowed are functions of texts, "
            "JSON, numbers, times and arrays that always give the same result."
        )
        raise RepairRefused(msg)
    if name == "lambda" and len(arguments) == 2:
        bound = arguments[0].get("arguments", {}).get("children", [])
        _check(arguments[1], names | {str(one.get("name")) for one in bound})
        return
    for argument in arguments:
        _check(argument, names)


def _named(node: Node) -> str:
    return str(node.get("alias") or node.get("name") or node.get("type"))


def _check_type(text: str) -> None:
    sql = f"SELECT toTypeName({text}) AS type FROM (SELECT materialize('{{}}') AS raw)"
    try:
        (row,) = client.read_only_rows(sql)
    except StatementFailed as error:
        raise RepairRefused(f"ClickHouse refuses the expression: {error.message[:300]}") from error
    if row["type"] not in _TYPES:
        msg = (
            f"The expression gives {row['type']}, but a message is a String. Use toString or "
            "toJSONString."
        )
        raise RepairRefused(msg)
