from __future__ import annotations


class QueryRefused(Exception):
    """A statement may not be published or run. Its author must change it.

    ``code`` is a stable word such as ``unknown_table``. ``message`` says what is wrong and what
    would be right. ``position`` is the offset of that place in the author's text, in characters, or
    None.
    """

    def __init__(self, code: str, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.position = position
