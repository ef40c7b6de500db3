from __future__ import annotations


class QueryRefused(Exception):
    """A statement that may not be published; whoever wrote it must change it.

    Attributes: ``code``, a stable word such as ``unknown_table``; ``message``, what was wrong and
    what would be right; ``position``, the offset in the author's text where that stands, or None.
    """

    def __init__(self, code: str, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.position = position
