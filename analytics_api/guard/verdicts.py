"""The verdict on every name that a query can call, as ``verdicts.tsv`` beside this module has it.

A line is kind, name, verdict, reason, and ``lambda`` where the first argument may be one. Kinds:
``function``, ``aggregate``, ``combinator`` and ``table`` are all that the engine has of each
(``tools/engine_functions.py`` asks it); ``syntax`` are words that its parser resolves, and that
look like calls, and functions that only some builds of the engine have.
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
    """``verdict`` is ``allowed``, ``refused`` or, where nobody has judged it yet, ``open``."""

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
    """Names of one kind that got this verdict, in lower case."""
    return frozenset(
        one.name.lower() for one in read() if one.kind == kind and one.verdict == verdict
    )


@cache
def higher_order() -> frozenset[str]:
    """Functions that call another one, whose name or lambda is their first argument."""
    return frozenset(one.name.lower() for one in read() if one.takes == "lambda")
