"""A dry run: what a replay would do with the stored messages. It changes nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ingestion.landing import addresses
from ingestion.quarantine import messages
from ingestion.quarantine.messages import Messages
from ingestion.quarantine.misfit_selection import Selection
from ingestion.quarantine.reading import SHOWN_BYTES
from ingestion.quarantine.repair import checked
from ingestion.quarantine.typed import UnfitMessage, typed

#: The most messages that one dry run tries.
MOST = 1_000_000
#: The most groups of misfits that it returns, the largest first.
GROUPS = 50


@dataclass(frozen=True, slots=True)
class Example:
    """A message as it was sent and after the repair; both cut, broken UTF-8 replaced."""

    sent: str
    repaired: str


@dataclass(frozen=True, slots=True)
class StillUnfit:
    """Messages that would still not fit, for one reason in one column, with an example."""

    reason: str
    column: str
    expected: str
    messages: int
    value: str
    example: Example


@dataclass(frozen=True, slots=True)
class DryRun:
    """``selected``: messages in the selection, of which the oldest ``tried`` were typed.

    ``version``: the table version that typed them. ``example``: one that fits, if any does.
    ``filtered``: those that their source's filter leaves out; a replay counts them as filtered.
    """

    selected: int
    tried: int
    fit: int
    unfit: int
    version: int
    example: Example | None
    groups: tuple[StillUnfit, ...]
    filtered: int = 0


def dry_run(selection: Selection, repair: str = "", most: int = MOST) -> DryRun:
    """Type the oldest ``most`` selected messages, after the repair, by the table's version.

    Raises RepairRefused, RepairFailed, TableNotReady and WarehouseError.
    """
    repair, table = checked(repair), selection.table
    address = addresses.address_of_version(table, table.version)
    counted: Counter[tuple[str, str, str]] = Counter()
    shown: dict[tuple[str, str, str], tuple[str, Example]] = {}
    fit = filtered = 0
    example = None
    for chunk in messages.chunks(selection, repair, min(most, MOST), address.columns):
        result = typed(address, chunk)
        fit += len(result.rows)
        filtered += len(result.filtered)
        if example is None and result.rows:
            example = _fitting(chunk, next(iter(result.rows)))
        for misfit in result.misfits:
            group = (misfit.reason, misfit.column, misfit.expected)
            counted[group] += 1
            if group not in shown:
                shown[group] = (_cut(misfit.value), _unfit(chunk, misfit))
    unfit = counted.total()
    return DryRun(
        selected=messages.total(selection),
        tried=fit + filtered + unfit,
        fit=fit,
        unfit=unfit,
        version=table.version,
        example=example,
        groups=tuple(
            StillUnfit(*group, number, *shown[group])
            for group, number in counted.most_common(GROUPS)
        ),
        filtered=filtered,
    )


def _fitting(chunk: Messages, key: messages.Key) -> Example:
    batch, offset = key
    for row in chunk.rows.select(["_batch", "_offset", "raw"]).to_pylist():
        if row["_batch"] == batch.bytes and row["_offset"] == offset:
            return Example(_cut(chunk.as_sent[key]), _cut(bytes(row["raw"])))
    msg = f"The message {offset} of batch {batch} was typed but not read."
    raise LookupError(msg)


def _unfit(chunk: Messages, misfit: UnfitMessage) -> Example:
    return Example(_cut(chunk.as_sent[misfit.key]), _cut(misfit.raw))


def _cut(text: bytes) -> str:
    return text[:SHOWN_BYTES].decode("utf-8", "replace")
