"""The SELECT that reads each message once, types its columns and explains what does not fit.

It knows all forms that the value of a column may have. This makes it long: the engine takes some
20 ms to analyse each column. A quick column (``quick_view``) may replace any column whose other
forms don't matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from ingestion.ddl import computed, located, marked, metadata, paths, source_filters
from ingestion.ddl.column import ParsedColumn
from ingestion.ddl.spec import ColumnSpec, SourceFilter, TableSpec
from ingestion.ddl.value import INEXACT, NEVER
from tenants.warehouse.quoting import identifier, string

#: Columns that go with every message from the inbox to the table and the quarantine.
ORIGIN = ("_source", "_partition", "_offset", "_timestamp", "_message_id", "_batch")
_SHOWN = "substringUTF8(raw, 1, 1000)"
#: Replaces the reason if a quick column did not fit: the long form of the column must decide.
UNSURE = "unsure"
#: Reasons of messages that are no JSON object, and give no column a value.
_NO_OBJECT = ("invalid_utf8", "invalid_json", "not_an_object")


def columns(spec: TableSpec) -> list[ParsedColumn]:
    return [ParsedColumn(index, one) for index, one in enumerate(spec.columns)]


def select(
    parsed: Sequence[ParsedColumn], source: str, filtered_by: Sequence[SourceFilter] = ()
) -> str:
    """Selects ``ORIGIN``, what is ``carried``, ``_v<index>`` for each column, and the problem.

    The problem is ``_reason``, ``_column``, ``_expected`` and ``_value``; all are empty if the
    message fits. ``_fitting`` says of each column whether it fits, 0 or 1; it is empty unless the
    reason is ``UNSURE``. With ``filtered_by`` it also selects ``source_filters.FILTERED``, which
    is 0 as long as the reason is ``UNSURE``, and for a message that is no object as the columns
    expect.
    """
    passed = ", ".join((*ORIGIN, *carried(parsed)))
    columns = [one.spec for one in parsed]
    outputs = "".join(f", {one}" for one in computed.outputs(one.spec for one in parsed))
    flags = ", ".join("1" if one.spec.expression else one.ok for one in parsed)
    parsed = [one for one in parsed if not one.spec.expression]
    texts = [one for one in parsed if one.is_text and one.is_marked != NEVER]
    marks = "".join(f", {one.must_mark} AS {one.is_marked}" for one in texts)
    opened = f"SELECT {passed}, JSONExtract(raw, {shape(parsed)}) AS _d{marks} FROM {source}"
    opened = f"SELECT *{_named(one.opening for one in parsed)} FROM ({opened})"
    opened = f"SELECT *, {_inexact(parsed)} AS {INEXACT} FROM ({opened})"
    for steps in zip_longest(*(one.steps for one in parsed), fillvalue={}):
        opened = f"SELECT *{_named(steps)} FROM ({opened})"
    given = "".join(f", {one.read} AS {one.given}" for one in parsed)
    read = f"SELECT *{given} FROM ({opened})"
    fits = "".join(f", {one.fits} AS {one.ok}" for one in parsed)
    is_whole = " AND ".join([*_at_once(parsed), is_object(parsed)])
    judged = f"SELECT *, ({is_whole}) AS _object{fits} FROM ({read})"
    all_fit = " AND ".join(["_object", *(one.ok for one in parsed)])
    values = "".join(f", {one.value} AS _v{one.index}" for one in parsed)
    problem = f"if({all_fit}, ('', '', '', ''), {_problem(parsed)})"
    whole = ", _object" if filtered_by else ""
    typed = f"SELECT {passed}{values}{whole}, {problem} AS _p, [{flags}] AS _flags FROM ({judged})"
    filtered = (
        f", {_left_out(columns, filtered_by)} AS {source_filters.FILTERED}" if filtered_by else ""
    )
    return (
        f"SELECT {passed}{outputs}, _p.1 AS _reason, _p.2 AS _column, _p.3 AS _expected, "
        f"_p.4 AS _value, if(_reason = '{UNSURE}', _flags, []) AS _fitting{filtered} FROM ({typed})"
    )


def _left_out(columns: Sequence[ColumnSpec], filtered_by: Sequence[SourceFilter]) -> str:
    unread = ", ".join(string(one) for one in (UNSURE, *_NO_OBJECT))
    says_no = source_filters.left_out(columns, filtered_by, lambda index: f"_flags[{index + 1}]")
    return f"_object AND _p.1 NOT IN ({unread}) AND {says_no}"


def carried(parsed: Sequence[ParsedColumn]) -> list[str]:
    """The columns of the inbox that go to the quarantine with the origin of a message."""
    return list(metadata.carried(one.spec for one in parsed))


def _named(columns: Iterable[Mapping[str, str]]) -> str:
    return "".join(f", {what} AS {name}" for one in columns for name, what in one.items())


def _inexact(parsed: Sequence[ParsedColumn]) -> str:
    """Whether a message may have an inexact number; searches only where the digits matter."""
    doubles = " OR ".join(filter(None, (one.may_be_inexact for one in parsed)))
    return marked.may_be_inexact(f"if({doubles}, raw, '')") if doubles else "0"


def shape(parsed: Sequence[ParsedColumn]) -> str:
    """One tuple type for all scalars that no array holds, nested as in the message."""
    tree: dict[str, Any] = {}
    for one in parsed:
        if not one.is_text:
            _place(tree, one.spec.keys)
    return string(_tuple(tree) if tree else "Tuple(_ Dynamic)")


def _place(tree: dict[str, Any], keys: Sequence[str]) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
    tree[keys[-1]] = None


def _tuple(tree: dict[str, Any]) -> str:
    parts = (
        f"{identifier(key)} {'Dynamic' if inner is None else _tuple(inner)}"
        for key, inner in tree.items()
    )
    return f"Tuple({', '.join(parts)})"


def _parents(parsed: Sequence[ParsedColumn]) -> Iterator[tuple[paths.Segments, str]]:
    """Each path that must be an object or an array, and which, once; the outer paths first."""
    found = {
        (one.spec.segments[:length], "Object" if isinstance(below, str) else "Array")
        for one in _of_message(parsed)
        for length, below in enumerate(one.spec.segments)
        if length
    }
    yield from sorted(found, key=lambda parent: (len(parent[0]), _in_order(parent[0])))


def _of_message(parsed: Sequence[ParsedColumn]) -> list[ParsedColumn]:
    """The columns that read the message, and not its metadata, which is always an object."""
    return [one for one in parsed if not one.spec.metadata]


def _in_order(segments: paths.Segments) -> list[tuple[int, str]]:
    return [(0, one) if isinstance(one, str) else (1, str(one)) for one in segments]


def is_object(parsed: Sequence[ParsedColumn]) -> str:
    """Whether the message is an object, and each parent of a value is an object or null.

    The engine would match an array to columns by position. Any other kind, and invalid JSON, gives
    no column a value: so the costly checks run only if no column has a value.
    """
    parsed = _of_message(parsed)
    checks = ["startsWith(trimLeft(raw, ' \\t\\r\\n'), '{')"]
    if not any(one.spec.required for one in parsed):
        checks.append(f"({_any_given(parsed)} OR isValidJSON(raw))")
    for path, kind in _parents(parsed):
        fits = located.is_kind(kind, path)
        if kind == "Object" and all(isinstance(one, str) for one in path):
            below = [one for one in parsed if one.spec.segments[: len(path)] == path]
            is_object = f"NOT position(raw, '[') AND ({_any_given(below)})"
            fits = f"({is_object} OR {fits})"
        checks.append(fits)
    return f"({' AND '.join(checks)})"


def _at_once(parsed: Sequence[ParsedColumn]) -> list[str]:
    """A check that is always true, and makes the engine compute the digits for all rows.

    If only branches used the digits, the engine would compute them in each branch, for the rows of
    that branch, and copy their inputs for every branch. With one broken message in a thousand, a
    row cost four times as much, and a batch took 4 GB of memory.
    """
    needed = [one.digits for one in parsed if one.needs_digits]
    return [f"NOT ignore({', '.join(needed)})"] if needed else []


def _any_given(parsed: Sequence[ParsedColumn]) -> str:
    return " OR ".join(one.is_given for one in parsed) or "0"


def _problem(parsed: Sequence[ParsedColumn]) -> str:
    branches = [
        "NOT isValidUTF8(raw), ('invalid_utf8', '', 'UTF-8', '')",
        f"NOT isValidJSON(raw), ('invalid_json', '', 'a JSON object', {_SHOWN})",
        f"JSONType(raw) != 'Object', ('not_an_object', '', 'a JSON object', {_SHOWN})",
    ]
    # The checks above depend on no column. Those below do, so unsure columns come before them.
    if quick := [f"NOT {one.ok}" for one in parsed if one.is_quick]:
        branches.append(f"{' OR '.join(quick)}, ('{UNSURE}', '', '', '')")
    branches += [_parent_problem(path, kind) for path, kind in _parents(parsed)]
    branches += [f"NOT {one.ok}, {one.problem}" for one in parsed if not one.is_quick]
    return f"multiIf({', '.join(branches)}, ('invalid_json', '', 'a JSON object', ''))"


def _parent_problem(path: paths.Segments, kind: str) -> str:
    where = paths.shown(path)
    shown = located.text("raw", path)
    if paths.EACH in path:
        number = located.first_not_of_kind(kind, path)
        shown = located.named(path, number, located.of_element(path, number))
    return (
        f"NOT {located.is_kind(kind, path)}, ('wrong_type', {string(where)}, "
        f"{string(located.KINDS[kind])}, substringUTF8({shown}, 1, 1000))"
    )
