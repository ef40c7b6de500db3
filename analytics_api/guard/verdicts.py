"""The verdict on every name that a query can call, read from ``verdicts.tsv`` beside this module.

A line has kind, name, verdict and reason, and ``lambda`` if the first argument may be one. The
kinds ``function``, ``aggregate``, ``combinator`` and ``table`` list everything of that kind in
ClickHouse (``tools/engine_functions.py`` asks it). The kind ``syntax`` lists words that look like
calls but are resolved by ClickHouse's parser, and functions that only some builds have.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent / "verdicts.tsv"
_HEAD = "kind\tname\tverdict\treason\ttakes\n"


@dataclass(frozen=True)
class Verdict:
    """``verdict`` is ``allowed``, ``refused``, or ``open`` if nobody has reviewed the name yet."""

    kind: str
    name: str
    verdict: str
    reason: str
    takes: str = ""


@cache
def read() -> list[Verdict]:
    lines = FILE.read_text(encoding="ascii").splitlines()[1:]
    return [Verdict(*line.split("\t")) for line in lines]


def write(verdicts: Iterable[Verdict]) -> None:
    lines = ["\t".join(astuple(verdict)) + "\n" for verdict in verdicts]
    FILE.write_text("".join([_HEAD, *lines]), encoding="ascii")


@cache
def names(kind: str, verdict: str) -> frozenset[str]:
    """Names of one kind with this verdict, in lower case."""
    return frozenset(
        line.name.lower() for line in read() if line.kind == kind and line.verdict == verdict
    )


@cache
def higher_order() -> frozenset[str]:
    """Functions that call another one: their first argument may be its name or a lambda."""
    return frozenset(line.name.lower() for line in read() if line.takes == "lambda")
