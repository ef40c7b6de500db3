"""The SELECT that reads each message once, types its columns and says what does not fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ingestion.ddl.column import ParsedColumn
from ingestion.ddl.names import quoted, text
from ingestion.ddl.spec import TableSpec

#: What goes along with every message, from the inbox to table and quarantine.
ORIGIN = ("_source", "_partition", "_offset", "_timestamp", "_message_id", "_batch")
_SHOWN = "substringUTF8(raw, 1, 1000)"
#: Why a message is in quarantine.
REASONS = {
    "invalid_utf8": "the message is not UTF-8",
    "invalid_json": "the message is not JSON",
    "not_an_object": "the message is JSON, but no object",
    "missing": "a required column has no value",
    "wrong_type": "the value is of another kind: a text for a number, say",
    "out_of_range": "the value is of the right kind, but the type can't hold it",
    "not_exact": "the type would cut digits off the value",
    "invalid_value": "the text can't be read as the type, or an element doesn't fit",
}


def columns(spec: TableSpec) -> list[ParsedColumn]:
    return [ParsedColumn(index, one) for index, one in enumerate(spec.columns)]


def select(spec: TableSpec, source: str) -> str:
    """Columns: ``ORIGIN``, ``_key``, ``raw``, ``_v<index>`` for each, ``_reason`` and the like."""
    parsed = columns(spec)
    passed = ", ".join((*ORIGIN, "_key", "raw"))
    opened = f"SELECT {passed}, JSONExtract(raw, {_shape(parsed)}) AS _d FROM {source}"
    given = "".join(f", {one.read} AS {one.given}" for one in parsed)
    read = f"SELECT {passed}, _d{given} FROM ({opened})"
    flags = "".join(f", {one.fits} AS {one.ok}" for one in parsed)
    judged = f"SELECT *, {_is_object(parsed)} AS _object{flags} FROM ({read})"
    all_fit = " AND ".join(["_object", *(one.ok for one in parsed)])
    values = "".join(f", {one.value} AS _v{one.index}" for one in parsed)
    problem = f"if({all_fit}, ('', '', '', ''), {_problem(parsed)})"
    typed = f"SELECT {passed}{values}, {problem} AS _p FROM ({judged})"
    outputs = "".join(f", _v{one.index}" for one in parsed)
    return (
        f"SELECT {passed}{outputs}, _p.1 AS _reason, _p.2 AS _column, _p.3 AS _expected, "
        f"_p.4 AS _value FROM ({typed})"
    )


def _shape(parsed: Sequence[ParsedColumn]) -> str:
    """The type of all scalars together, nested as in the message."""
    tree: dict[str, Any] = {}
    for one in parsed:
        if not one.is_container:
            _place(tree, one.spec.keys)
    return text(_tuple(tree) if tree else "Tuple(_ Dynamic)")


def _place(tree: dict[str, Any], keys: Sequence[str]) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
    tree[keys[-1]] = None


def _tuple(tree: dict[str, Any]) -> str:
    parts = (
        f"{quoted(key)} {'Dynamic' if inner is None else _tuple(inner)}"
        for key, inner in tree.items()
    )
    return f"Tuple({', '.join(parts)})"


def _parents(parsed: Sequence[ParsedColumn]) -> Iterator[tuple[str, ...]]:
    """Paths that must be objects, the outer ones first, each once."""
    found = {one.spec.keys[:length] for one in parsed for length in range(1, len(one.spec.keys))}
    yield from sorted(found, key=lambda path: (len(path), path))


def _is_object(parsed: Sequence[ParsedColumn]) -> str:
    """An array would be matched to columns by position: neither message nor parent may be one."""
    checks = ["startsWith(trimLeft(raw, ' \\t\\r\\n'), '{')"]
    parents = [_parent_fits(path) for path in _parents(parsed)]
    if parents:
        checks.append(f"(position(raw, '[') = 0 OR ({' AND '.join(parents)}))")
    return f"({' AND '.join(checks)})"


def _parent_fits(path: Sequence[str]) -> str:
    keys = ", ".join(text(key) for key in path)
    return f"JSONType(raw, {keys}) != 'Array'"


def _problem(parsed: Sequence[ParsedColumn]) -> str:
    branches = [
        "NOT isValidUTF8(raw), ('invalid_utf8', '', 'UTF-8', '')",
        f"NOT isValidJSON(raw), ('invalid_json', '', 'a JSON object', {_SHOWN})",
        f"JSONType(raw) != 'Object', ('not_an_object', '', 'a JSON object', {_SHOWN})",
    ]
    branches += [_parent_problem(path) for path in _parents(parsed)]
    branches += [f"NOT {one.ok}, {one.problem}" for one in parsed]
    return f"multiIf({', '.join(branches)}, ('invalid_json', '', 'a JSON object', ''))"


def _parent_problem(path: Sequence[str]) -> str:
    keys = ", ".join(text(key) for key in path)
    where = text(".".join(path))
    shown = f"substringUTF8(JSONExtractRaw(raw, {keys}), 1, 1000)"
    return f"NOT {_parent_fits(path)}, ('wrong_type', {where}, 'a JSON object', {shown})"
