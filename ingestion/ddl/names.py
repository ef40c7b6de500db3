"""Names of what stands beside a table, and quoting of names and texts for SQL."""

from __future__ import annotations


def quoted(name: str) -> str:
    """An identifier of any characters, quoted (clickhouse.com/docs/sql-reference/syntax)."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def text(value: str) -> str:
    """A string literal."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0")
    return f"'{escaped}'"


def inbox(table: str) -> str:
    """Takes the raw messages."""
    return f"{table}__inbox"


def parsed(table: str) -> str:
    """Hands typed values from the first view to the two behind it."""
    return f"{table}__parsed"


def quarantine(table: str) -> str:
    """Keeps the messages that did not fit."""
    return f"{table}__quarantine"


def views(table: str) -> tuple[str, str, str]:
    """The views that parse, that fill the table, and that fill the quarantine."""
    return f"{table}__parse", f"{table}__fit", f"{table}__misfit"
