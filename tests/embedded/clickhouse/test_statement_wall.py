"""What the embedded server reads in a statement by itself; no engine is asked."""

from __future__ import annotations

import pytest

from millrace.embedded.clickhouse.errors import EngineError
from millrace.embedded.clickhouse.guard import Rules, _lines, _transformers, judge

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
