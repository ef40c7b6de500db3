"""SQL that reads the value at a path as JSON text, and checks what stands above it.

The engine counts elements from 1, and takes a number for the place of an object's member, too: so
an index is good only where its parent is an array (``is_kind``).
"""

from __future__ import annotations

from collections.abc import Sequence

from ingestion.ddl.paths import EACH, Segment, jsonpath
from tenants.warehouse.quoting import string

#: What the JSON functions of ClickHouse call them, and what the quarantine does.
KINDS = {"Object": "a JSON object", "Array": "a JSON array"}


def arguments(segments: Sequence[Segment], mark: str = "") -> str:
    """The arguments of a JSON function that lead along keys and indexes; ``mark`` ends each key."""
    return ", ".join(_argument(one, mark) for one in segments)


def _argument(segment: Segment, mark: str) -> str:
    if isinstance(segment, str):
        return string(f"{segment}{mark}")
    if isinstance(segment, int):
        return str(segment + 1)
    msg = "[*] is no argument of a JSON function"
    raise TypeError(msg)


def text(message: str, segments: Sequence[Segment], mark: str = "") -> str:
    """The value as JSON text; empty if there is none.

    Of ``[*]`` it is an array of what each element has, null for what an element lacks.
    """
    if EACH not in segments:
        return f"JSONExtractRaw({message}, {arguments(segments, mark)})"
    before, after = split(segments)
    listed = f"JSONExtractArrayRaw({message}, {arguments(before, mark)})"
    if after:
        found = f"arrayMap(x -> JSONExtractRaw(x, {arguments(after, mark)}), {listed})"
        listed = f"arrayMap(x -> if(x = '', 'null', x), {found})"
    is_array = f"JSONType({message}, {arguments(before, mark)}) = 'Array'"
    return f"if({is_array}, concat('[', arrayStringConcat({listed}, ','), ']'), '')"


def split(segments: Sequence[Segment]) -> tuple[Sequence[Segment], Sequence[Segment]]:
    """What is before ``[*]``, and what is behind it."""
    place = list(segments).index(EACH)
    return segments[:place], segments[place + 1 :]


def elements(segments: Sequence[Segment]) -> str:
    """The elements of the array whose path ends before ``[*]``, as JSON texts."""
    return f"JSONExtractArrayRaw(raw, {arguments(split(segments)[0])})"


def is_kind(kind: str, segments: Sequence[Segment]) -> str:
    """Whether the value there is of that kind, null, or absent; of ``[*]`` all are."""
    if EACH in segments:
        return f"arrayAll(x -> {_is_kind_in(kind, segments)}, {elements(segments)})"
    return f"JSONType(raw, {arguments(segments)}) IN ('{kind}', 'Null')"


def _is_kind_in(kind: str, segments: Sequence[Segment]) -> str:
    after = "".join(f", {one}" for one in [arguments(split(segments)[1])] if one)
    return f"JSONType(x{after}) IN ('{kind}', 'Null')"


def first_not_of_kind(kind: str, segments: Sequence[Segment]) -> str:
    """The first element, from 1, whose value at a path with ``[*]`` is not of that kind."""
    return f"arrayFirstIndex(x -> NOT {_is_kind_in(kind, segments)}, {elements(segments)})"


def of_element(segments: Sequence[Segment], number: str) -> str:
    """The JSON text at a path with ``[*]`` of the element with that number, from 1."""
    after = arguments(split(segments)[1])
    element = f"{elements(segments)}[{number}]"
    return f"JSONExtractRaw({element}, {after})" if after else element


def named(segments: Sequence[Segment], number: str, shown: str) -> str:
    """``$.items[2].sku: 7``: the place of an element's value, and the value if there is one.

    ``shown``: the value as JSON text, empty or null if there is none.
    """
    before, after = split(segments)
    head, tail = f"{jsonpath(before)}[", f"]{jsonpath(after)[1:]}"
    place = f"concat({string(head)}, toString({number} - 1), {string(tail)})"
    return f"concat({place}, if({shown} IN ('', 'null'), '', concat(': ', {shown})))"
