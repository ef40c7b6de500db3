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
    """Hands what the first view has typed to the two behind it."""
    return f"{table}__parsed"


def leftovers(table: str) -> str:
    """Remembers which messages of a batch the views have left to be typed by a query."""
    return f"{table}__leftovers"


def is_leftovers(table: str) -> bool:
    """Whether a table of that name is such a note; it has offsets, and nothing of the messages."""
    return table.endswith("__leftovers")


def quarantine(table: str) -> str:
    """Keeps the messages that did not fit."""
    return f"{table}__quarantine"


def views(table: str) -> tuple[str, str, str]:
    """The views that parse, that fill the table, and that note what is left over."""
    return f"{table}__parse", f"{table}__fit", f"{table}__rest"


def former_views(table: str) -> tuple[str, ...]:
    """Views that tables had, and have no more."""
    return (f"{table}__misfit",)
