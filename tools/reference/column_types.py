"""Generates the list of column types from the module that reads them."""

from __future__ import annotations

from ingestion.ddl.types import INTEGERS, KNOWN
from tools.reference.text import code, table


def page() -> str:
    rows = [
        (code(name), f"{least:,}", f"{most:,}")
        for name, (least, most) in INTEGERS.items()
        # The ranges of wider types have 39 digits and more.
        if name.removeprefix("U") in {"Int8", "Int16", "Int32", "Int64"}
    ]
    names = KNOWN.replace(" and ", " ")
    return (
        f"## All types\n\nA column's type is one of these: {names}. `T` is any of them that may "
        "stand there; `P` are digits, `S` those after the point.\n\n"
        f"{table(('integer', 'least', 'most'), rows)}"
    )
