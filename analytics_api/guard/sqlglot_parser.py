"""Checks a statement as sqlglot reads it: one SELECT of known classes over known tables."""

from __future__ import annotations

import logging
from collections.abc import Collection

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from analytics_api.guard import allowed_names
from analytics_api.guard.dialect import Dialect
from analytics_api.guard.errors import QueryRefused
from analytics_api.guard.tree import aliased, is_hidden

#: Every class of node that a query may contain. The base classes at the end are those of
#: operators and functions.
_CLASSES: tuple[type[exp.Expr], ...] = (
    exp.Select,
    exp.SetOperation,
    exp.Subquery,
    exp.With,
    exp.CTE,
    exp.From,
    exp.Join,
    exp.Table,
    exp.TableAlias,
    exp.TableSample,
    exp.Final,
    exp.PreWhere,
    exp.Where,
    exp.Group,
    exp.Rollup,
    exp.Cube,
    exp.GroupingSets,
    exp.Having,
    exp.Qualify,
    exp.Window,
    exp.WindowSpec,
    exp.Order,
    exp.Ordered,
    exp.WithFill,
    exp.Limit,
    exp.Offset,
    exp.Fetch,
    exp.Distinct,
    exp.Star,
    exp.Except,
    exp.Identifier,
    exp.Dot,
    exp.Column,
    exp.Alias,
    exp.Aliases,
    exp.PropertyEQ,
    exp.Literal,
    exp.Boolean,
    exp.Null,
    exp.Var,
    exp.Placeholder,
    exp.DataType,
    exp.DataTypeParam,
    exp.ColumnDef,
    exp.Interval,
    exp.JSONPath,
    exp.JSONPathPart,
    exp.IntervalSpan,
    exp.Tuple,
    exp.Paren,
    exp.Lambda,
    exp.Values,
    exp.In,
    exp.Between,
    exp.If,
    exp.Bracket,
    exp.Slice,
    exp.Filter,
    exp.IgnoreNulls,
    exp.RespectNulls,
    exp.WithinGroup,
    exp.Binary,
    exp.Unary,
    exp.Func,
)
#: Subclasses of these that a query may not contain.
_REFUSED: tuple[type[exp.Expr], ...] = (
    exp.Command,
    exp.Into,
    exp.Parameter,
    exp.SessionParameter,
    exp.CurrentUser,
    exp.SessionUser,
    exp.CurrentCatalog,
)
_NOT_ALLOWED_CLAUSES = {
    "settings": "A query may not change settings. Remove SETTINGS.",
    "format": "The caller chooses the format. Remove FORMAT.",
    "into": "A query may not write. Remove INTO.",
    "locks": "A query may not lock. Remove FOR UPDATE.",
    "pivots": "PIVOT is not part of ClickHouse's SQL.",
    "laterals": "LATERAL is not part of ClickHouse's SQL. Use ARRAY JOIN.",
}
#: What sqlglot raises for a text that it can't read, its own bugs included (``map(1 IN t)``:
#: IndexError).
_UNREADABLE = (SqlglotError, RecursionError, LookupError, ValueError, TypeError, AttributeError)
logging.getLogger("sqlglot").setLevel(logging.ERROR)


def parse(sql: str) -> exp.Expr:
    """The one SELECT of ``sql`` as a tree; raises QueryRefused."""
    try:
        trees = [tree for tree in sqlglot.parse(sql, dialect=Dialect) if tree is not None]
    except _UNREADABLE as error:
        raise _syntax_error(sql, error) from None
    if len(trees) != 1:
        msg = f"A saved query is one statement; here are {len(trees)}."
        raise QueryRefused("one_statement", msg)
    tree = trees[0]
    if not isinstance(tree, exp.Query):
        msg = f"A saved query is a SELECT; this is {_kind(tree)}."
        raise QueryRefused("not_select", msg)
    return tree


def _kind(tree: exp.Expr) -> str:
    word = tree.name if isinstance(tree, exp.Command) else tree.key
    return f"{word.upper() or 'something else'}"


def _syntax_error(sql: str, error: Exception) -> QueryRefused:
    details = getattr(error, "errors", None)
    if not details:
        return QueryRefused("syntax", "The query is nested too deeply or can't be read.")
    first = details[0]
    line, column = first.get("line") or 1, first.get("col") or 1
    before = sql.split("\n")[: line - 1]
    near = str(first.get("highlight") or "")
    position = max(sum(len(text) + 1 for text in before) + column - len(near), 0)
    msg = f"Syntax error in line {line} near {near[:60]!r}: {first.get('description')}"
    return QueryRefused("syntax", msg.rstrip(". ") + ".", min(position, len(sql)))


def check_classes(tree: exp.Expr) -> None:
    """Raise QueryRefused if the tree has a node or a clause that is not allowed."""
    for node in tree.walk():
        if isinstance(node, _REFUSED) or not isinstance(node, _CLASSES):
            msg = f"{node.key.upper()} ({node.sql(dialect='clickhouse')[:60]}) is not allowed here."
            raise QueryRefused("not_allowed", msg)
        if isinstance(node, exp.Query | exp.Table):
            _check_clauses(node)
        if isinstance(node, exp.From) or (isinstance(node, exp.Join) and node.kind != "ARRAY"):
            _check_source(node.this)
        if isinstance(node, exp.Join) and node.kind == "ARRAY":
            _check_array_join(node)
        if isinstance(node, exp.Anonymous) and not isinstance(node.parent, exp.Table):
            _check_function(node)


def _check_source(node: exp.Expr) -> None:
    """Raise QueryRefused unless ``tables_of`` finds the tables of this source of FROM or JOIN."""
    while isinstance(node, exp.Final | exp.TableSample):
        node = node.this
    if not isinstance(node, exp.Table | exp.Subquery | exp.Values):
        msg = f"{node.sql(dialect='clickhouse')[:60]} is neither a table nor a subquery."
        raise QueryRefused("source", msg)


def _check_array_join(node: exp.Join) -> None:
    """Refuse tables inside an ARRAY JOIN, where sqlglot reads them as columns."""
    if node.find(exp.Query, exp.From) is not None:
        msg = "ARRAY JOIN takes arrays, not a SELECT. Name the SELECT in WITH (...) AS name."
        raise QueryRefused("array_join", msg)


def _check_function(node: exp.Anonymous) -> None:
    if not allowed_names.is_function(node.name):
        msg = f"The function {node.name} is not allowed as a value."
        raise QueryRefused("function", msg)


def _check_clauses(node: exp.Expr) -> None:
    for clause, message in _NOT_ALLOWED_CLAUSES.items():
        if node.args.get(clause):
            raise QueryRefused(f"clause_{clause}", message)


def ctes_of(tree: exp.Expr) -> frozenset[str]:
    """Names of the statement's common table expressions, without scalar ones."""
    return frozenset(cte.alias for cte in tree.find_all(exp.CTE) if not cte.args.get("scalar"))


def tables_of(tree: exp.Expr, *, tables: Collection[str], database: str) -> frozenset[str]:
    """Names of the tenant's tables that the query reads; raises QueryRefused for any other."""
    for cte in tree.find_all(exp.CTE):
        if is_hidden(cte.alias, tables):
            raise QueryRefused("name", f"{cte.alias} may be an internal table. Use another name.")
    names = {_table(node, tables, database) for node in tree.find_all(exp.Table)}
    names |= {_operand(node, tree, tables, database) for node in tree.find_all(exp.In)}
    for node in tree.find_all(exp.Alias, exp.CTE):
        column = node.this.unnest()
        if isinstance(column, exp.Column):
            names |= aliased([part.name for part in column.parts], tables, database)
    return frozenset(names - {""})


def _table(node: exp.Table, tables: Collection[str], database: str) -> str:
    """The tenant's table that ``node`` names, or '' for a CTE or a table function."""
    source = node.this
    if isinstance(source, exp.Func) or not isinstance(source, exp.Identifier):
        _check_table_function(source)
        return ""
    if node.args.get("catalog"):
        raise _unknown(node.sql(dialect="clickhouse"), tables, database, source)
    if not node.db and source.name in _ctes_in_scope(node):
        return ""
    return _own(node.db, source, tables, database)


def _check_table_function(source: exp.Expr) -> None:
    name = source.name if isinstance(source, exp.Anonymous) else source.key
    if not allowed_names.is_table_function(name):
        known = ", ".join(sorted(allowed_names.allowed_tables()))
        msg = f"The table function {name} is not allowed. Allowed are: {known}."
        raise QueryRefused("table_function", msg)


def _own(qualifier: str, identifier: exp.Identifier, tables: Collection[str], database: str) -> str:
    if qualifier not in ("", database) or identifier.name not in tables:
        name = f"{qualifier}.{identifier.name}" if qualifier else identifier.name
        raise _unknown(name, tables, database, identifier)
    return str(identifier.name)


def _unknown(name: str, tables: Collection[str], database: str, node: exp.Expr) -> QueryRefused:
    own = ", ".join(sorted(tables)) or "none yet"
    msg = f"There is no table {name} in {database}. Its tables: {own}."
    position = node.meta.get("start")
    return QueryRefused("unknown_table", msg, position)


def _ctes_in_scope(node: exp.Expr) -> set[str]:
    """Names of the common table expressions that ``node`` may refer to."""
    names: set[str] = set()
    inside: exp.Expr = node
    parent = node.parent
    while parent is not None:
        if isinstance(parent, exp.With):
            before = parent.expressions[: _index(parent.expressions, inside)]
            if parent.args.get("recursive"):
                before = [*before, inside]
            names.update(cte.alias for cte in before if not cte.args.get("scalar"))
        else:
            with_ = parent.args.get("with_") or parent.args.get("with")
            if with_ is not None and inside is not with_:
                names.update(c.alias for c in with_.expressions if not c.args.get("scalar"))
        inside, parent = parent, parent.parent
    return names


def _index(nodes: list[exp.Expr], node: exp.Expr) -> int:
    """The index of this very node: sqlglot compares nodes by their content."""
    return next(position for position, other in enumerate(nodes) if other is node)


def _qualified(tree: exp.Expr) -> set[str]:
    """Aliases of qualified names, such as ``y`` in ``a.b AS y``."""
    return {
        node.alias
        for node in tree.find_all(exp.Alias, exp.CTE)
        if isinstance(column := node.this.unnest(), exp.Column) and column.table
    }


def _operand(node: exp.In, tree: exp.Expr, tables: Collection[str], database: str) -> str:
    """The tenant's table on the right of IN, or ''.

    ClickHouse reads ``x IN a`` as a column, or as a table if there is no such column; and
    ``x IN a.b`` as a column of ``a``, or as the table ``b`` of the database ``a``. So only names
    that can't leave the tenant's database are allowed.
    """
    right = node.args.get("field")
    if right is None and len(node.expressions) == 1:
        right = node.expressions[0]
    while isinstance(right, exp.Paren):
        right = right.this
    if not isinstance(right, (exp.Column, exp.Dot, exp.Identifier)):
        return ""
    if isinstance(right, exp.Column) and not right.args.get("db"):
        own = right.table == database and right.name in tables
        is_odd = right.table or right.name in _qualified(tree) or is_hidden(right.name, tables)
        if not is_odd or own:
            return str(right.name) if right.name in tables else ""
    msg = (
        f"{right.sql(dialect='clickhouse')} on the right of IN may be another database's table. "
        "Write IN (SELECT ...) for a table, has(array, value) for an array."
    )
    raise QueryRefused("in_operand", msg)
