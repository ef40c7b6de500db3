"""Checks the lines of ``EXPLAIN AST``, for a server that can't return a statement's tree.

Each line is a node, indented by its depth: kind, name, ``(alias …)`` and ``(children n)``. The
lines leave out

- the names that a WITH defines. They are taken from sqlglot. If such a name is also one of the
  tenant's tables, the table counts as read, since the lines don't show where the name is valid;
- the function that ``APPLY`` names, which the check of the tokens covers;
- the body of a lambda in ``APPLY``, which is therefore refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from analytics_api.guard import allowed_names, lexer, tree
from analytics_api.guard.errors import QueryRefused
from analytics_api.guard.lexer import Token

_LINE = re.compile(
    r"(?P<indent> *)(?P<kind>[A-Za-z:]+)"
    r"(?: (?P<name>\S.*?))??(?: \(alias (?P<alias>.*)\))?(?: \(children \d+\))?"
)
#: Kinds of nodes: EXPLAIN AST has two more than the tree.
_KINDS = tree.NODES | {"DataType", "NameTypePair"}
#: The function around a parameter's value. The tokens have shown that the author did not write it.
_PARAMETER = "_CAST"


@dataclass(frozen=True)
class _Node:
    depth: int
    kind: str
    name: str
    alias: str = ""


def read(
    lines: Collection[str], *, ctes: Collection[str], tables: Collection[str], database: str
) -> tree.Reading:
    """Check the lines against the allow-lists. Returns the tables read; raises QueryRefused."""
    nodes = [_node(line) for line in lines]
    qualified = {node.alias for node in nodes if node.kind == "Identifier" and "." in node.name}
    own = _Own(tables, database, qualified)
    read_tables: set[str] = set()
    for index, node in enumerate(nodes):
        if node.kind not in _KINDS:
            raise _refused(f"ClickHouse reads {node.kind} in the query, which is not allowed.")
        if node.kind == "Function":
            _check_function(node.name, table=_is_table(nodes, index))
        if node.kind == "Function" and node.name.lower() in tree.IN:
            read_tables |= {own.operand(name) for name in _operands(nodes, index)}
        if node.kind == "Identifier" and node.alias:
            read_tables |= tree.aliased(node.name.split("."), tables, database)
        if node.kind == "TableIdentifier":
            read_tables.add(own.table(node.name, ctes))
    return tree.Reading(tables=read_tables - {""})


def _node(line: str) -> _Node:
    parts = _LINE.fullmatch(line)
    if parts is None:
        msg = f"ClickHouse reads {line.strip()[:60]!r} in the query, which is not allowed."
        raise _refused(msg)
    return _Node(len(parts["indent"]), parts["kind"], parts["name"] or "", parts["alias"] or "")


def check_applied(sql: str) -> None:
    """Raise QueryRefused for ``APPLY`` with a lambda: EXPLAIN AST does not show its body."""
    tokens = list(lexer.tokens(sql))
    for index, token in enumerate(tokens):
        if token.is_word("APPLY") and "->" in _behind(tokens, index + 1):
            msg = (
                "APPLY takes a function's name here, not a lambda. Write an expression per column."
            )
            raise QueryRefused("engine", msg, token.start)


def _behind(tokens: Sequence[Token], start: int) -> list[str]:
    """The texts of the token or whole bracket at ``start``, and of the token after it."""
    depth = 0
    for index in range(start, len(tokens)):
        depth += (tokens[index].text == "(") - (tokens[index].text == ")")
        if depth <= 0:
            return [token.text for token in tokens[start : index + 2]]
    return [token.text for token in tokens[start:]]


def _is_table(nodes: Sequence[_Node], index: int) -> bool:
    return index > 0 and nodes[index - 1].kind == "TableExpression"


def _check_function(name: str, *, table: bool) -> None:
    value = allowed_names.is_function(name) or name.lower() in tree.OPERATORS or name == _PARAMETER
    if not (allowed_names.is_table_function(name) if table else value):
        kind = "table function" if table else "function"
        raise _refused(f"ClickHouse reads the {kind} {name} in the query, which is not allowed.")


def _operands(nodes: Sequence[_Node], index: int) -> Iterator[str]:
    """The name on the right of an IN (its second argument), if it is a name."""
    arguments: list[_Node] = []
    for node in nodes[index + 1 :]:
        if node.depth <= nodes[index].depth:
            break
        if node.depth == nodes[index].depth + 2:
            arguments.append(node)
    if len(arguments) > 1 and arguments[1].kind == "Identifier":
        yield arguments[1].name


@dataclass(frozen=True)
class _Own:
    """The tenant's tables."""

    tables: Collection[str]
    database: str
    #: Aliases of names with a qualifier.
    qualified: Collection[str]

    def table(self, name: str, ctes: Collection[str]) -> str:
        """The tenant's table that a name after FROM means; '' for a common table expression."""
        own = self._own(name)
        if not own and name not in ctes:
            raise _refused(
                f"ClickHouse reads the table {name} in the query. It is not the tenant's."
            )
        return own

    def operand(self, name: str) -> str:
        """The tenant's table that a name on the right of IN means; '' for a column."""
        own = self._own(name)
        is_odd = "." in name or name in self.qualified or tree.is_hidden(name, self.tables)
        if not own and is_odd:
            msg = f"{name} on the right of IN may be another database's table."
            raise QueryRefused("in_operand", msg)
        return own

    def _own(self, name: str) -> str:
        database, dot, table = name.rpartition(".")
        return table if table in self.tables and (not dot or database == self.database) else ""


def _refused(message: str) -> QueryRefused:
    return QueryRefused("engine", message)
