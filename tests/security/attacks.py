r"""The corpus: ``corpus/<kind>.txt`` holds one attack a line, ``what it tries | attack``.

``\n`` and ``\t`` in an attack stand for those characters; outside of SQL, which has a backslash of
its own, also ``\r``, ``\0``, ``\xNN`` and ``\\``. ``[not engine]`` behind what it tries says that
this wall alone does not hold it; that is tested as much as that the others do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"
_MARK = re.compile(r" \[not (\w+)\]\Z")
_ESCAPE_IN_SQL = re.compile(r"\\(n|t)")
_ESCAPE = re.compile(r"\\(n|t|r|0|x[0-9a-f]{2}|\\)")
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\\": "\\"}


@dataclass(frozen=True)
class Attack:
    """``not_held_by`` names the wall that does not hold it by itself, or nothing."""

    kind: str
    what: str
    text: str
    not_held_by: str = ""

    def parts(self) -> list[str]:
        """The attack's own parts, where it has several."""
        return self.text.split(" | ")


#: Files of honest queries: any reader must pass the first, ClickHouse's own the second.
HONEST = ("legitimate", "dialect")


def kinds() -> list[str]:
    return sorted(file.stem for file in FOLDER.glob("*.txt") if file.stem not in HONEST)


def lines(name: str) -> list[str]:
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    return [line for line in text.split("\n") if line and not line.startswith("# ")]


def of(kind: str) -> list[Attack]:
    return [_attack(kind, line) for line in lines(kind)]


def _attack(kind: str, line: str) -> Attack:
    what, _, text = line.partition(" | ")
    mark = _MARK.search(what)
    escape = _ESCAPE_IN_SQL if kind == "sql" else _ESCAPE
    return Attack(kind, _MARK.sub("", what), escape.sub(_plain, text), mark[1] if mark else "")


def _plain(found: re.Match[str]) -> str:
    sign = found[1]
    return chr(int(sign[1:], 16)) if sign[0] == "x" else _PLAIN[sign]
