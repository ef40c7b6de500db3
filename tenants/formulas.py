from __future__ import annotations

#: Spreadsheets run a cell that begins with one of these as a formula.
#: Source: owasp.org/www-community/attacks/CSV_Injection
_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def neutral(cell: str) -> str:
    """``cell``, with an apostrophe in front if a spreadsheet might run it as a formula."""
    if cell.startswith(_BEGINNINGS) or cell.lstrip(" ").startswith(_BEGINNINGS):
        return f"'{cell}"
    return cell
