"""Policy: which batches one insert types together: small batches of tables with equal columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ingestion.consume.scheduling.batch_policy import SMALL_BYTES, SMALL_ROWS
from ingestion.consume.scheduling.candidate import Candidate

#: The most batches that one insert types together.
MAX_GROUP = 48


def groups(
    due: Iterable[Candidate], company: Iterable[Candidate] = ()
) -> Iterator[list[Candidate]]:
    """The groups of batches to insert, one for each kind of batch that is due.

    A kind has one group, of at most MAX_GROUP batches; those that have waited longest go first.
    ``company``, batches that wait and are not due yet, fills up a group: only few of many buffers
    are due at any moment, and an insert of one batch costs as much as one of many. If nothing is
    due, only groups that are full of company are returned.
    """
    kinds, others = _by_kind(due), _by_kind(company)
    if not kinds:
        yield from (alike[:MAX_GROUP] for alike in others.values() if len(alike) >= MAX_GROUP)
    for kind, alike in kinds.items():
        yield [*alike, *others.get(kind, [])][:MAX_GROUP]


def _by_kind(candidates: Iterable[Candidate]) -> dict[object, list[Candidate]]:
    """Candidates that may be typed together, the oldest first. A large batch is its own kind."""
    kinds: dict[object, list[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda waiting: waiting.since):
        is_small = candidate.buffer.is_small(SMALL_ROWS, SMALL_BYTES)
        kind = candidate.reader.address.form if is_small else id(candidate.buffer)
        kinds.setdefault(kind, []).append(candidate)
    return kinds
