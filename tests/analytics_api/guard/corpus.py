"""The statements that every version of the guard is tried on."""

from __future__ import annotations

from pathlib import Path

TABLES = frozenset({"flights", "weather", "events"})
DATABASE = "t_ua"


def _lines(name: str) -> list[str]:
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("# ")]


def legitimate() -> list[str]:
    return _lines("legitimate.txt")


def attacks() -> list[tuple[str, str]]:
    """Pairs of what is tried and the SQL that tries it."""
    pairs = [line.split(" | ", 1) for line in _lines("attacks.txt")]
    return [(what, sql.replace("\\n", "\n")) for what, sql in pairs]
