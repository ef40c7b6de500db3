"""Which batches are inserted together: small ones of tables with the same columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ingestion.consume.buffer import PartitionBuffer
from ingestion.consume.insert_pool import SMALL
from ingestion.consume.source_reader import SourceReader

#: Batches that one insert may type together, and the bytes of each at most.
TOGETHER, SMALL_BYTES = 48, 1 << 20

Pair = tuple[SourceReader, PartitionBuffer]


def groups(due: Iterable[Pair], company: Iterable[Pair] = ()) -> Iterator[list[Pair]]:
    """What is due, and with it whatever can be typed together with it: an insert of each kind.

    Of more than one insert takes, those that have waited longest go first. Where that does not fill
    an insert, ``company`` does, which waits and is not due yet: of many buffers few are due at any
    moment, and each by itself costs as much as many together. Where nothing is due, there are only
    inserts full of company.
    """
    kinds, others = _by_kind(due), _by_kind(company)
    if not kinds:
        yield from (one[:TOGETHER] for one in others.values() if len(one) >= TOGETHER)
    for kind, alike in kinds.items():
        yield [*alike, *others.get(kind, [])][:TOGETHER]


def _by_kind(pairs: Iterable[Pair]) -> dict[object, list[Pair]]:
    """By what may be typed together; a large batch is of a kind of its own."""
    found: dict[object, list[Pair]] = {}
    for reader, buffer in sorted(pairs, key=lambda one: one[1].since):
        is_small = buffer.is_small(SMALL, SMALL_BYTES)
        found.setdefault(reader.address.form if is_small else id(buffer), []).append(
            (reader, buffer)
        )
    return found
