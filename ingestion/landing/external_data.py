"""A statement that is sent with a table of its own, as external data."""

from __future__ import annotations

from typing import Any

from clickhouse_connect.driver.external import ExternalData

#: The name of the table that is sent.
SENT = "_messages"
#: Bytes of a statement in one field of a form: half of what a server accepts.
_FIELD_BYTES = 64 * 1024


class Statement(ExternalData):
    """The table SENT that accompanies a statement, and the statement itself but for its first word.

    ``data`` is in ``fmt``, and ``structure`` names its columns with their types.

    If a table accompanies a statement, clickhouse-connect puts the statement into the URL. For a
    table of 400 columns that is 370 kB, while a server accepts 128 KiB a field, in a URL and in a
    form (``http_max_field_value_size``), and a proxy often 8 KiB of URL. But a server joins all
    fields named ``query``, those of the URL first (``DynamicQueryHandler::getQuery``). So the
    statement goes into form fields. Its first word stays in the URL, because clickhouse-connect
    decides by it whether it may send the request again.
    """

    def __init__(
        self, statement: str, data: bytes, structure: str, fmt: str = "ArrowStream"
    ) -> None:
        super().__init__(data=data, file_name=SENT, fmt=fmt, structure=structure)
        self.first, _, rest = statement.partition(" ")
        self._rest = f" {rest}".encode()

    @property
    def form_data(self) -> dict[str, Any]:
        starts = range(0, len(self._rest), _FIELD_BYTES)
        parts = (self._rest[start : start + _FIELD_BYTES] for start in starts)
        return {**{_Field("query"): part for part in parts}, **super().form_data}


class _Field(str):
    """A name that a form may have several times, although clickhouse-connect keeps it in a dict."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other
