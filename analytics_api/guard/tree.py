"""Checks a statement's tree, as ClickHouse's own parser reads it, against the allow-lists.

The tree comes from ``parseQueryToJSON``. Unknown kinds of nodes are refused, so that syntax that a
newer ClickHouse adds is refused until somebody has reviewed what it does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analytics_api.guard import allowed_names, calls, named_types
from analytics_api.guard.errors import QueryRefused
from analytics_api.guard.verdicts import higher_order

Node = Mapping[str, Any]

#: Every kind of node that a query may contain.
NODES = frozenset(
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
    }
)
#: Clauses that are refused. SETTINGS at a query's end has been taken out before.
_CLAUSES = ("out_file", "settings", "settings_ast", "format_ast", "format", "compression")
IN = frozenset(
    f"{place}{word}" for place in ("", "global") for word in ("in", "notin", "nullin", "notnullin")
)
OPERATORS = IN | {"lambda", "exists", "casewithexpression"}
_WORDS = {"settings": "SETTINGS", "settings_ast": "SETTINGS", "out_file": "INTO OUTFILE"}


@dataclass(frozen=True)
class _Scope:
    """Names that the WITHs around a node define: of SELECTs, and of lambdas."""

    ctes: frozenset[str] = frozenset()
    lambdas: frozenset[str] = frozenset()

    def with_cte(self, name: str) -> _Scope:
        return _Scope(self.ctes | {name}, self.lambdas)

    def with_lambda(self, name: str) -> _Scope:
        return _Scope(self.ctes, self.lambdas | {name})


@dataclass
class Reading:
    """What a statement reads: the tenant's tables, and whether it has a PREWHERE."""

    tables: set[str] = field(default_factory=set)
    has_prewhere: bool = False


def read(tree: Node, *, tables: Collection[str], database: str) -> Reading:
    """Check a statement's tree against the allow-lists; raises QueryRefused."""
    if tree.get("type") != "SelectWithUnionQuery":
        kind = str(tree.get("type", "")).removesuffix("Query")
        msg = f"A saved query is a SELECT; this is {kind.upper() or 'something else'}."
        raise QueryRefused("not_select", msg)
    reader = _TreeReader(tables, database, _qualified(tree))
    reader.visit(tree, "", _Scope())
    return reader.reading


def named(tree: object) -> frozenset[str]:
    """Names of lambdas, common table expressions and aliased tables: a bracket may follow them."""
    names: set[str] = set()
    if isinstance(tree, list):
        return frozenset().union(*map(named, tree))
    if isinstance(tree, dict):
        if tree.get("type") == "WithElement" and tree.get("aliases"):
            names.add(tree["name"])
        if _is_lambda(tree) and tree.get("alias"):
            names.add(tree["alias"])
        if tree.get("type") == "TableExpression" and tree.get("column_aliases"):
            keys = ("database_and_table_name", "subquery", "table_function")
            names |= {tree[key].get("alias", "") for key in keys if key in tree}
        names.update(*(named(child) for child in tree.values()))
    return frozenset(names)


def is_hidden(name: str, tables: Collection[str]) -> bool:
    """Whether ``name`` may be an internal table beside one of ``tables``, which nobody may read."""
    return name not in tables and any(name.startswith(f"{table}__") for table in tables)


def aliased(parts: Sequence[str], tables: Collection[str], database: str) -> set[str]:
    """The tenant's table that a name with an alias may mean; raises QueryRefused for a hidden one.

    ClickHouse reads the table ``orders`` in ``WITH orders AS y SELECT 1 IN y``, and in every other
    place that defines the alias. A column with a table's name counts as the table, since the two
    can't be distinguished.
    """
    name = parts[-1]
    if len(parts) > 2 or (len(parts) == 2 and parts[0] != database):
        return set()
    if is_hidden(name, tables):
        msg = f"{name} may be an internal table. If it is a column, write it without an alias."
        raise QueryRefused("in_operand", msg)
    return {name} & set(tables)


def _qualified(tree: object) -> frozenset[str]:
    """Aliases of qualified names, such as ``y`` in ``a.b AS y``."""
    if isinstance(tree, list):
        return frozenset().union(*map(_qualified, tree))
    if not isinstance(tree, dict):
        return frozenset()
    below = frozenset().union(*map(_qualified, tree.values()))
    is_qualified = tree.get("type") == "Identifier" and tree.get("alias") and len(_parts(tree)) > 1
    return below | {tree["alias"]} if is_qualified else below


def _is_lambda(node: Node) -> bool:
    return node.get("type") == "Function" and node.get("name") == "lambda"


def _parts(node: Node) -> list[str]:
    return list(node.get("name_parts") or [node["name"]])


def _arguments(node: Node) -> list[Node]:
    return list((node.get("arguments") or {}).get("children", []))


def _text(node: Node) -> str | None:
    """The text of a string literal; None for any other node."""
    value = node.get("value") if node.get("type") == "Literal" else None
    return value["value"] if value and value.get("field_type") == "String" else None


class _TreeReader:
    def __init__(self, tables: Collection[str], database: str, qualified: Collection[str]) -> None:
        self._tables, self._database, self._qualified = tables, database, qualified
        self.reading = Reading()

    def visit(self, node: object, place: str, scope: _Scope) -> None:
        """Check a node and everything below it. ``place`` is the key of the node in its parent."""
        if isinstance(node, list):
            for child in node:
                self.visit(child, place, scope)
        elif isinstance(node, dict):
            self._check(node, place, scope)
            if node["type"] in ("SelectWithUnionQuery", "SelectIntersectExceptQuery"):
                self._union(node, scope)
            elif node["type"] == "SelectQuery":
                self._select(node, scope)
            elif node["type"] != "Literal":
                self._below(node, scope)

    def _below(self, node: Node, scope: _Scope, besides: Collection[str] = ()) -> None:
        for key, child in node.items():
            if key not in besides:
                self.visit(child, key, scope)

    def _union(self, node: Node, scope: _Scope) -> None:
        """Visit a union's SELECTs. The names of the first one's WITH are valid in the others."""
        selects = node.get("list_of_selects") or node
        for position, child in enumerate(selects.get("children", [])):
            if child.get("type") != "SelectQuery":
                self.visit(child, "children", scope)
                continue
            self._check(child, "children", scope)
            inner = self._select(child, scope)
            scope = inner if position == 0 else scope
        self._below(node, scope, ("list_of_selects", "children"))

    def _select(self, node: Node, scope: _Scope) -> _Scope:
        self.reading.has_prewhere |= "prewhere" in node
        for element in (node.get("with") or {}).get("children", []):
            scope = self._with(element, scope, recursive=bool(node.get("recursive_with")))
        self._below(node, scope, ("with",))
        return scope

    def _with(self, element: Node, scope: _Scope, *, recursive: bool) -> _Scope:
        if element.get("type") != "WithElement":
            self.visit(element, "with", scope)
            named_lambda = _is_lambda(element) and element.get("alias")
            return scope.with_lambda(element["alias"]) if named_lambda else scope
        name = element["name"]
        if is_hidden(name, self._tables):
            raise QueryRefused("name", f"{name} may be an internal table. Use another name.")
        self._below(element, scope.with_cte(name) if recursive else scope)
        return scope.with_cte(name)

    # --- One node -------------------------------------------------------------------------------

    def _check(self, node: Node, place: str, scope: _Scope) -> None:
        kind = node.get("type")
        if kind not in NODES:
            raise _refused(f"{kind or place} is not allowed in a saved query.")
        for clause in _CLAUSES:
            if node.get(clause):
                word = _WORDS.get(clause, "FORMAT")
                msg = f"{word} is not allowed here: the caller chooses the format, and queries "
                msg += "only read."
                raise QueryRefused(f"clause_{word.lower().replace(' ', '_')}", msg)
        if kind == "Function":
            self._check_function(node, place, scope)
        elif kind == "TableIdentifier":
            self._check_table(node, scope)
        elif kind == "Identifier":
            self._check_identifier(node)
        elif kind == "ColumnsApplyTransformer" and node.get("func_name"):
            self._check_applied(node["func_name"], scope)

    def _check_identifier(self, node: Node) -> None:
        parts = _parts(node)
        if len(parts) == 1:
            calls.check_bare(parts[0])
        elif node.get("children"):
            raise _refused("A parameter may be a value, but not a name.")
        if node.get("alias"):
            self.reading.tables |= aliased(parts, self._tables, self._database)

    def _check_applied(self, name: str, scope: _Scope) -> None:
        allowed = allowed_names.is_function(name) and not calls.is_by_name(name)
        if name not in scope.lambdas and not allowed:
            raise QueryRefused("function", f"The function {name} is not allowed in APPLY.")

    def _check_function(self, node: Node, place: str, scope: _Scope) -> None:
        name, arguments = node["name"], _arguments(node)
        if place == "table_function":
            self._check_table_function(name, arguments)
            return
        if name in scope.lambdas and not allowed_names.is_known(name):
            return
        lower = name.lower()
        if lower not in OPERATORS and not allowed_names.is_function(name):
            msg = f"The function {name} is not allowed in a saved query."
            raise QueryRefused("function", msg)
        if lower in IN and len(arguments) > 1:
            self._check_operand(arguments[1])
        if calls.is_by_name(name):
            calls.check_first(name, _text(arguments[0]) if arguments else None)
        if lower in higher_order() and len(arguments) > 1:
            self._check_handed_on(name, arguments[0], scope)
        named_types.check_call(lower, [_text(argument) for argument in arguments])

    @staticmethod
    def _check_handed_on(function: str, first: Node, scope: _Scope) -> None:
        if first["type"] != "Identifier" or len(_parts(first)) > 1:
            return
        if first["name"] not in scope.lambdas:
            calls.check_handed_on(function, first["name"])

    @staticmethod
    def _check_table_function(name: str, arguments: list[Node]) -> None:
        if not allowed_names.is_table_function(name):
            known = ", ".join(sorted(allowed_names.allowed_tables()))
            msg = f"The table function {name} is not allowed. Allowed are: {known}."
            raise QueryRefused("table_function", msg)
        if name.lower() == "values" and arguments:
            named_types.check(_text(arguments[0]) or "")

    def _check_table(self, node: Node, scope: _Scope) -> None:
        parts = _parts(node)
        if node.get("children"):
            raise _refused("A parameter may be a value, but not the name of a table.")
        if len(parts) == 1 and parts[0] in scope.ctes:
            return
        if not self._is_own(parts):
            own = ", ".join(sorted(self._tables)) or "none yet"
            msg = f"There is no table {'.'.join(parts)} in {self._database}. Its tables: {own}."
            raise QueryRefused("unknown_table", msg)
        self.reading.tables.add(parts[-1])

    def _is_own(self, parts: list[str]) -> bool:
        if len(parts) == 2 and parts[0] != self._database:
            return False
        return len(parts) <= 2 and parts[-1] in self._tables

    def _check_operand(self, right: Node) -> None:
        """Check the right side of IN: ``a`` may be a table, ``a.b`` another database's table."""
        if right["type"] != "Identifier":
            return
        parts = _parts(right)
        if right.get("children"):
            raise _refused("A parameter may be a value, but not the name of a table.")
        if self._is_own(parts):
            self.reading.tables.add(parts[-1])
        elif len(parts) > 1 or parts[0] in self._qualified or is_hidden(parts[0], self._tables):
            msg = (
                f"{'.'.join(parts)} on the right of IN may be another database's table. "
                "Write IN (SELECT ...) for a table, has(array, value) for an array."
            )
            raise QueryRefused("in_operand", msg)


def _refused(message: str) -> QueryRefused:
    return QueryRefused("engine", message)
