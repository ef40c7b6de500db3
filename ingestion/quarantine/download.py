"""The messages of a quarantine as NDJSON, one object a line, with every byte that was sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ingestion.ddl.metadata import METADATA, wanted
from ingestion.landing import addresses
from ingestion.quarantine.messages import PLACE, page
from ingestion.quarantine.misfit_selection import Selection
from tenants.warehouse import client
from tenants.warehouse.errors import translated

_SETTINGS = {
    "max_execution_time": 300,
    "date_time_output_format": "iso",
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_escape_forward_slashes": 0,
}
#: A JSON text must be UTF-8: what is not comes as base64, in a member of its own. An alias hides
#: the column of its name, so columns are qualified.
_LINE = (
    "transform(_source, {ids:Array(UInt64)}, {names:Array(String)}, '') AS source, "
    "_source AS source_id, _partition AS partition, _offset AS offset, _message_id AS message_id, "
    "_timestamp AS timestamp, _ingested_at AS ingested_at, toString(_batch) AS batch, reason, "
    "`column`, expected, toValidUTF8(p.value) AS value, "
    "if(isValidUTF8(p._key), p._key, NULL) AS key, "
    "if(isValidUTF8(p._key), NULL, base64Encode(p._key)) AS key_base64, "
    "if(isValidUTF8(p.raw), p.raw, NULL) AS raw, "
    "if(isValidUTF8(p.raw), NULL, base64Encode(p.raw)) AS raw_base64"
)


def lines(selection: Selection) -> Iterator[bytes]:
    """The selected messages, many lines at a time, in the order of their arrival.

    Each page is complete before it is yielded. Raises TableNotReady and WarehouseError.
    """
    table = selection.table
    names = dict(table.sources.values_list("pk", "name"))
    columns = addresses.address_of_version(table, table.version).columns
    line = f"{_LINE}, p.{METADATA} AS metadata" if wanted(columns) else _LINE
    after: list[Any] | None = None
    while True:
        sql, bound = page(selection, after)
        with translated():
            text = client.admin().raw_query(
                f"SELECT {line} FROM ({sql}) AS p ORDER BY {PLACE} FORMAT JSONEachRow",
                parameters=bound | {"ids": list(names), "names": list(names.values())},
                settings=_SETTINGS,
            )
        if not text:
            return
        yield text
        after = _place(text)


def _place(text: bytes) -> list[Any]:
    """The place of the last line, as ``page`` takes it."""
    last = json.loads(text.rstrip(b"\n").rpartition(b"\n")[2])
    came_in = round(datetime.fromisoformat(last["ingested_at"]).timestamp() * 1000)
    return [came_in, *(last[name] for name in ("source_id", "partition", "offset", "batch"))]
