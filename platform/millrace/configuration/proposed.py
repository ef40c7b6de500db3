"""Writes a proposed table as YAML for ``apply``, with the evidence of each column in a comment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from ingestion.inference.evidence import Evidence
from ingestion.inference.proposal import LeftOut, Proposal, ProposedColumn
from ingestion.models import Column, Table, UnknownFieldRule
from millrace.configuration.export import dumped, table_part

#: How a column begins, below a table of a tenant.
_COLUMN = f"{' ' * 10}- "
_COMMENT = f"{' ' * 10}# "


def proposed(proposal: Proposal, tenant: str, table: str) -> str:
    """The YAML of a file that creates the table for the tenant."""
    row = Table(
        name=table,
        unknown_fields=UnknownFieldRule.COUNT.value,
        sorting_key=list(proposal.sorting_key),
        partition_key=proposal.partition_key,
    )
    columns = [Column(**asdict(column.spec)) for column in proposal.columns]
    part = table_part(row, columns)
    text = dumped({"tenants": [{"slug": tenant, "tables": [part]}]})
    return "".join([*_head(proposal), *_commented(text, proposal)])


def _head(proposal: Proposal) -> Iterator[str]:
    others = ", ".join(f"{count} {reason}" for reason, count in sorted(proposal.others.items()))
    rest = f"; the others: {others}" if others else ""
    yield (
        f"# Proposed from {proposal.messages} messages. {proposal.objects} of them fit this "
        f"table{rest}.\n"
    )
    for one in proposal.left_out:
        yield f"# No column: {_left_out(one)}\n"


def _left_out(one: LeftOut) -> str:
    examples = f" Examples: {', '.join(one.evidence.examples)}" if one.evidence.examples else ""
    return _line(f"{one.path}. {one.why}{examples}")


def _commented(text: str, proposal: Proposal) -> Iterator[str]:
    """The lines of the text, each column's after its evidence."""
    columns = iter(proposal.columns)
    for line in text.splitlines(keepends=True):
        if line.startswith(f"{_COLUMN}name:"):
            yield f"{_COMMENT}{_line(_evidence(next(columns), proposal.objects))}\n"
        yield line


def _evidence(column: ProposedColumn, objects: int) -> str:
    shown = column.evidence
    parts = [_presence(shown, objects), f"{shown.distinct} distinct"]
    if shown.smallest:
        parts.append(f"{shown.smallest} to {shown.largest}")
    else:
        parts += shown.examples[:1]
    return "; ".join([*parts, *filter(None, [column.note])])


def _presence(shown: Evidence, objects: int) -> str:
    if shown.present == objects and not shown.nulls:
        return "always there"
    nulls = f", {shown.nulls} of them null" if shown.nulls else ""
    return f"in {shown.present} of {objects}{nulls}"


def _line(text: str) -> str:
    """The text without what would end its comment."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
