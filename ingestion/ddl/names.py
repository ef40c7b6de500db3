"""Names of the tables and views that Millrace creates beside a table."""

from __future__ import annotations


def _of_version(name: str, version: int) -> str:
    # The first version has the names that every table had before there were versions.
    return name if version <= 1 else f"{name}_{version}"


def inbox(table: str, version: int = 1) -> str:
    """Takes the raw messages that are typed by this version of the table."""
    return _of_version(f"{table}__inbox", version)


def parsed(table: str, version: int = 1) -> str:
    """Hands what the first view has typed to the two behind it."""
    return _of_version(f"{table}__parsed", version)


def leftovers(table: str) -> str:
    """Remembers which messages of a batch the views have left to be typed by a query."""
    return f"{table}__leftovers"


def is_leftovers(table: str) -> bool:
    """Whether a table of that name is such a note; it has offsets, and nothing of the messages."""
    return table.endswith("__leftovers")


def quarantine(table: str) -> str:
    """Keeps the messages that did not fit."""
    return f"{table}__quarantine"


def filtered(table: str) -> str:
    """Keeps the origin of each message that a filter has left out, and nothing else of it."""
    return f"{table}__filtered"


def filter_view(table: str, version: int = 1) -> str:
    """The view that notes what filters leave out. Only versions with filters have it."""
    return _of_version(f"{table}__filter", version)


def views(table: str, version: int = 1) -> tuple[str, str, str]:
    """The views that parse, that fill the table, and that note what is left over."""
    parse, fit, rest = (
        _of_version(f"{table}__{view}", version) for view in ("parse", "fit", "rest")
    )
    return parse, fit, rest


def former_views(table: str) -> tuple[str, ...]:
    """Views that tables had in earlier versions of Millrace."""
    return (f"{table}__misfit",)
