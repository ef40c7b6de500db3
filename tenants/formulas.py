from __future__ import annotations

#: A spreadsheet takes a cell that begins so for a formula, and runs it.
#: Source: owasp.org/www-community/attacks/CSV_Injection
_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def neutral(cell: str) -> str:
    """The text of a CSV cell that no spreadsheet runs: behind an apostrophe where it might."""
    if cell.startswith(_BEGINNINGS) or cell.lstrip(" ").startswith(_BEGINNINGS):
        return f"'{cell}"
    return cell
