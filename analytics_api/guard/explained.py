"""A statement as the lines of ``EXPLAIN AST`` show it, on a server that can't give its tree.

Each line is a node, indented by its depth: kind, name, ``(alias …)`` and ``(children n)``. The
lines leave out

- the names that a WITH gives: they are sqlglot's, and where one is also a table of the tenant's,
  the table counts as read, since nothing says where the name holds;
- the function that ``APPLY`` names, which the tokens have shown already;
- what stands in a lambda of ``APPLY``, which is refused therefore.
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
#: What EXPLAIN AST names besides.
_KINDS = tree.NODES | {"DataType", "NameTypePair"}
#: What a parameter's value is wrapped in. The tokens have shown that no author has written it.
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
    """Hold the lines to the lists; returns the tables among them, and raises QueryRefused."""
    nodes = [_node(line) for line in lines]
    is_qualified = (one.kind == "Identifier" and "." in one.name for one in nodes)
    qualified = {one.alias for one, is_it in zip(nodes, is_qualified, strict=True) if is_it}
    own = _Own(tables, database, qualified)
    found: set[str] = set()
    for index, node in enumerate(nodes):
        if node.kind not in _KINDS:
            raise _refused(f"ClickHouse reads {node.kind} in it, which is not allowed.")
        if node.kind == "Function":
            _check_function(node.name, table=_is_table(nodes, index))
        if node.kind == "Function" and node.name.lower() in tree.IN:
            found |= {name for one in _operands(nodes, index) if (name := own.operand(one))}
        if node.kind == "Identifier" and node.alias:
            found |= tree.aliased(node.name.split("."), tables, database)
        if node.kind == "TableIdentifier":
            found.add(own.table(node.name, ctes))
    return tree.Reading(tables=found - {""})


def _node(line: str) -> _Node:
    found = _LINE.fullmatch(line)
    if found is None:
        raise _refused(f"ClickHouse reads {line.strip()[:60]!r} in it, which is not allowed.")
    return _Node(len(found["indent"]), found["kind"], found["name"] or "", found["alias"] or "")


def check_applied(sql: str) -> None:
    """Raise QueryRefused for ``APPLY`` with a lambda: EXPLAIN AST does not show what is in it."""
    tokens = list(lexer.tokens(sql))
    for index, token in enumerate(tokens):
        if token.is_word("APPLY") and "->" in _behind(tokens, index + 1):
            msg = "APPLY takes a function's name here. Write the expression for each column."
            raise QueryRefused("engine", msg, token.start)


def _behind(tokens: Sequence[Token], start: int) -> list[str]:
    """A token or a bracket at ``start``, with all in it, and the one behind."""
    depth = 0
    for index in range(start, len(tokens)):
        depth += (tokens[index].text == "(") - (tokens[index].text == ")")
        if depth <= 0:
            return [one.text for one in tokens[start : index + 2]]
    return [one.text for one in tokens[start:]]


def _is_table(nodes: Sequence[_Node], index: int) -> bool:
    return index > 0 and nodes[index - 1].kind == "TableExpression"


def _check_function(name: str, *, table: bool) -> None:
    value = allowed_names.is_function(name) or name.lower() in tree.OPERATORS or name == _PARAMETER
    if not (allowed_names.is_table_function(name) if table else value):
        kind = "table function" if table else "function"
        raise _refused(f"ClickHouse reads the {kind} {name} in it, which is not allowed.")


def _operands(nodes: Sequence[_Node], index: int) -> Iterator[str]:
    """The name on the right of an IN, where one stands there: its second argument."""
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
        """The tenant's table of a name behind FROM, '' for a common table expression's."""
        own = self._own(name)
        if not own and name not in ctes:
            raise _refused(f"ClickHouse reads the table {name} in it.")
        return own

    def operand(self, name: str) -> str:
        """The tenant's table of a name on the right of IN, '' for a column's."""
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
