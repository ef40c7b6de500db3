"""Which batches are inserted together: small ones of tables with the same columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ingestion.consume.scheduling.batch_policy import SMALL_BYTES, SMALL_ROWS
from ingestion.consume.scheduling.candidate import Candidate

#: Batches that one insert may type together.
TOGETHER = 48


def groups(
    due: Iterable[Candidate], company: Iterable[Candidate] = ()
) -> Iterator[list[Candidate]]:
    """What is due, and with it whatever can be typed together with it: an insert of each kind.

    Of more than one insert takes, those that have waited longest go first. Where that does not fill
    an insert, ``company`` does, which waits and is not due yet: of many buffers few are due at any
    moment, and each by itself costs as much as many together. Where nothing is due, there are only
    inserts full of company.
    """
    kinds, others = _by_kind(due), _by_kind(company)
    if not kinds:
        yield from (alike[:TOGETHER] for alike in others.values() if len(alike) >= TOGETHER)
    for kind, alike in kinds.items():
        yield [*alike, *others.get(kind, [])][:TOGETHER]


def _by_kind(candidates: Iterable[Candidate]) -> dict[object, list[Candidate]]:
    """By what may be typed together; a large batch is of a kind of its own."""
    kinds: dict[object, list[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda one: one.since):
        is_small = candidate.buffer.is_small(SMALL_ROWS, SMALL_BYTES)
        kind = candidate.reader.address.form if is_small else id(candidate.buffer)
        kinds.setdefault(kind, []).append(candidate)
    return kinds
