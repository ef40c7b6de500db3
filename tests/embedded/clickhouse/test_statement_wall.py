"""What the embedded server reads in a statement by itself; no engine is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from millrace.embedded.clickhouse.errors import EngineError
from millrace.embedded.clickhouse.guard import Guard, Rules, _lines, _transformers, judge

RULES = Rules(frozenset({"t_a"}), catalogue=False)
SELECT = "SelectWithUnionQuery (children 1)\n"


def test_a_function_that_is_handed_to_another_is_judged_as_called() -> None:
    judge(f"{SELECT} Function arrayMap (children 1)\n  ExpressionList\n   Identifier lower", RULES)
    judge(f"{SELECT} Function concat (children 1)\n  ExpressionList\n   Identifier file", RULES)
    for name in ("file", "FILE", "getServerSetting"):
        handed = f" Function arrayMap (children 1)\n  ExpressionList\n   Identifier {name}"
        with pytest.raises(EngineError, match="may not use the function"):
            judge(SELECT + handed, RULES)


@pytest.mark.parametrize(
    ("applied", "says"),
    [
        ({"func_name": "file"}, "function file"),
        ({"lambda": {"type": "TableIdentifier", "name": "t_b.x"}}, "table t_b.x"),
        ({"lambda": {"type": "TableIdentifier", "name": "t_a.x\n TableIdentifier y"}}, "plain"),
        (
            {
                "lambda": {
                    "type": "Function",
                    "name": "in",
                    "arguments": {
                        "type": "ExpressionList",
                        "children": [
                            {"type": "Identifier", "name": "x"},
                            {"type": "Identifier", "name": "t_b.x"},
                        ],
                    },
                }
            },
            "table t_b.x",
        ),
    ],
)
def test_what_apply_calls_is_judged_too(applied: dict[str, object], says: str) -> None:
    tree = {"type": "Asterisk", "transformers": [{"type": "ColumnsApplyTransformer", **applied}]}
    lines = [line for one in _transformers(tree) for line in _lines(one, 0)]
    with pytest.raises(EngineError, match=says):
        judge(SELECT + "\n".join(lines), RULES)


CATALOGUE = Rules(frozenset({"t_a"}), catalogue=True)


def table(name: str) -> str:
    return f"{SELECT} TablesInSelectQuery (children 1)\n  TableIdentifier {name} (alias x)"


@pytest.mark.parametrize(
    "name", ["events", "t_a.events", "system.one", "system.functions", "system.numbers"]
)
def test_a_user_may_name_tables_of_its_databases_and_harmless_ones(name: str) -> None:
    judge(table(name), RULES)


@pytest.mark.parametrize(
    "name",
    [
        "t_b.events",
        "T_A.events",
        "t_a2.events",
        "system.processes",
        "system.tables",
        "SYSTEM.one",
        "information_schema.tables",
        "t_a.events.x",
        "t_a.`events`",
        "",
    ],
)
def test_any_other_table_is_refused(name: str) -> None:
    with pytest.raises(EngineError, match="may not use") as refused:
        judge(table(name), RULES)
    assert refused.value.code == 497


def test_the_catalogue_is_open_only_where_the_engine_hides_what_is_not_granted() -> None:
    for name in ("system.tables", "INFORMATION_SCHEMA.COLUMNS", "system.databases"):
        judge(table(name), CATALOGUE)
    for name in ("system.processes", "t_b.tables", "system.users"):
        with pytest.raises(EngineError):
            judge(table(name), CATALOGUE)


@pytest.mark.parametrize("kind", ["InsertQuery", "ShowTables", "CreateQuery", "Set", ""])
def test_only_selects_and_their_explanation_are_accepted(kind: str) -> None:
    for good in ("SelectWithUnionQuery", "SelectIntersectExceptQuery", "Explain", "DescribeQuery"):
        judge(f"{good} (children 1)", RULES)
    with pytest.raises(EngineError, match="other than SELECT"):
        judge(kind, RULES)


@pytest.mark.parametrize(
    ("function", "is_refused"),
    [
        ("numbers", False),
        ("VALUES", False),
        ("url", True),
        ("file", True),
        ("remote", True),
        ("merge", True),
        ("lower", True),
    ],
)
def test_a_table_function_is_accepted_only_if_it_reads_nothing(
    function: str, is_refused: bool
) -> None:
    tree = f"{SELECT} TableExpression (children 1)\n  Function {function} (children 1)"
    if not is_refused:
        judge(tree, RULES)
        return
    with pytest.raises(EngineError, match=f"table function {function.lower()}"):
        judge(tree, RULES)


@pytest.mark.parametrize(
    "function", ["file", "dictGet", "joinGet", "hostName", "sleepEachRow", "getMacro", "FQDN"]
)
def test_a_function_that_reads_something_else_is_refused(function: str) -> None:
    with pytest.raises(EngineError, match=f"function {function}"):
        judge(f"{SELECT} Function {function} (alias x) (children 1)", RULES)
    for harmless in ("lower", "profile", "files", "xfile", "hostNames"):
        judge(f"{SELECT} Function {harmless} (alias x) (children 1)", RULES)


@pytest.mark.parametrize("name", ["in", "notIn", "globalIn", "globalNotNullIn", "nullIn"])
def test_the_right_side_of_in_is_a_table(name: str) -> None:
    def tree(right: str) -> str:
        return (
            f"{SELECT} Function {name} (children 1)\n  ExpressionList (children 2)\n"
            f"   Identifier t_b.column\n   {right}\n Identifier t_b.other"
        )

    judge(tree("Identifier t_a.ids"), RULES)
    judge(tree("Function tuple (children 1)\n    Identifier t_b.x"), RULES)
    with pytest.raises(EngineError, match=r"table t_b\.ids"):
        judge(tree("Identifier t_b.ids"), RULES)
    with pytest.raises(EngineError, match=r"table t_b\.ids"):
        judge(tree("TableIdentifier t_b.ids"), RULES)


class FakeConnection:
    """Classifies and parses as told, and counts how often it parses."""

    def __init__(self, kind: str = "READ_ONLY", count: int = 1, tree: str = SELECT) -> None:
        self._verdict, self._tree = (kind, count), tree
        self.ran: list[str] = []

    def classify(self, sql: str) -> tuple[str, int]:
        return self._verdict

    def run(self, sql: str, form: str, bound: Any) -> Any:
        self.ran.append(sql)
        applied = {"type": "ColumnsApplyTransformer", "func_name": "file"}
        text = json.dumps({"x": [applied]}) if "parseQueryToJSON" in sql else self._tree
        return SimpleNamespace(data=text.encode())


class Checked:
    """A wall with a connection to parse on."""

    def __init__(self, connection: FakeConnection) -> None:
        self.connection, self.guard = connection, Guard()

    def __call__(self, sql: str, rules: Rules = RULES, **bound: str) -> None:
        @contextmanager
        def borrow() -> Iterator[Any]:
            yield SimpleNamespace(connection=self.connection)

        self.guard.check(borrow, sql, bound, rules)


@pytest.mark.parametrize(("kind", "count", "code"), [("READ_ONLY", 2, 62), ("WRITE", 1, 497)])
def test_several_statements_and_those_that_write_are_not_even_parsed(
    kind: str, count: int, code: int
) -> None:
    check = Checked(FakeConnection(kind, count))
    with pytest.raises(EngineError) as refused:
        check("SELECT 1")
    assert refused.value.code == code
    assert check.connection.ran == []


def test_a_statement_is_parsed_once_and_judged_for_each_user() -> None:
    check = Checked(FakeConnection(tree=table("t_b.x")))
    check("SELECT {a:UInt8}", Rules(frozenset({"t_b"}), catalogue=False), a="1")
    with pytest.raises(EngineError, match=r"table t_b\.x"):
        check("SELECT {a:UInt8}", a="2")
    assert check.connection.ran == ["EXPLAIN AST SELECT {a:UInt8}"]
    check("SELECT 2", Rules(frozenset({"t_b"}), catalogue=False))
    assert len(check.connection.ran) == 2


def test_where_a_parameter_is_a_name_each_value_is_parsed() -> None:
    check = Checked(FakeConnection())
    for value in ("a", "b", "a"):
        check("SELECT * FROM {t:Identifier}", t=value)
    assert len(check.connection.ran) == 2


def test_what_apply_calls_is_asked_for_only_where_it_is_used() -> None:
    check = Checked(FakeConnection(tree=f"{SELECT} ColumnsApplyTransformer"))
    with pytest.raises(EngineError, match="function file"):
        check("SELECT * APPLY file FROM t")
