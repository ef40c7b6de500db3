"""Drops the tokens of inserts whose part was never stored, which a kill during an insert can leave.

A MergeTree table logs a part's token before it stores the part (``MergeTreeDeduplicationLog``,
``deduplication_logs/deduplication_log_N.txt``: one line of op, part and block id for each; op 1
adds, 2 drops). If it is killed between the two, it takes the retry of that insert for a duplicate
and reports success without the rows. So the tokens of missing parts are dropped before the engine
opens its folder.
"""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

#: How many lines of a table's log are checked: more inserts can't have been running.
_LAST = 256
_ADDED, _DROPPED = "1", "2"
#: The numbers of fields in a part's name: PARTITION_MIN_MAX_LEVEL, and _MUTATION after a mutation.
_NAME_FIELDS = (4, 5)


def forget_lost(store: Path) -> int:
    """Drop tokens whose part is missing from the table's folder; returns how many.

    ``store`` is the engine's folder, which must not be open. A log that can't be read or written,
    for example on a full disk, is left unchanged, and the engine starts nevertheless.
    """
    forgotten = 0
    for folder in sorted(store.glob("store/*/*/deduplication_logs")):
        try:
            lost = _lost(folder)
            if not lost:
                continue
            _append(_logs(folder)[-1], lost)
        except (OSError, ValueError) as error:
            log.warning("%s: tokens of lost parts could not be dropped: %s", folder, error)
            continue
        names = ", ".join(part for part, _ in lost)
        log.warning(
            "%s: parts lost when the engine was killed, which must be inserted again: %s",
            folder.parent,
            names,
        )
        forgotten += len(lost)
    return forgotten


def _append(path: Path, lost: list[tuple[str, str]]) -> None:
    """Append all lines, or none on a full disk: half a line would merge with the next line."""
    size = path.stat().st_size
    try:
        with path.open("a") as file:
            file.writelines(f"{_DROPPED}\t{part}\t{block}\n" for part, block in lost)
    except OSError:
        os.truncate(path, size)
        raise


def _logs(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.txt"), key=lambda path: int(path.stem.rpartition("_")[2]))


def _lost(folder: Path) -> list[tuple[str, str]]:
    """Parts and block ids of the last tokens whose part is missing; raises ValueError."""
    text = "".join(path.read_text() for path in _logs(folder)[-2:])
    if text and not text.endswith("\n"):
        msg = "the log ends in the middle of a line"
        raise ValueError(msg)
    lines = text.splitlines()
    noted: dict[str, str] = {}
    for line in lines[-_LAST:]:
        op, part, block = line.split("\t")
        if op == _ADDED:
            noted[block] = part
        else:
            noted.pop(block, None)
    there = _ranges(path.name for path in folder.parent.iterdir() if path.is_dir())
    return [(part, block) for block, part in noted.items() if not _is_there(part, there)]


def _ranges(names: Iterable[str]) -> dict[str, list[tuple[int, int]]]:
    """The ranges of block numbers that stored parts contain, by partition.

    A merged part covers the numbers of all its sources, so a token's part may be in a larger one.
    """
    ranges: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for name in names:
        fields = name.split("_")
        if len(fields) in _NAME_FIELDS and all(number.isdigit() for number in fields[1:]):
            ranges[fields[0]].append((int(fields[1]), int(fields[2])))
    return ranges


def _is_there(part: str, there: dict[str, list[tuple[int, int]]]) -> bool:
    partition, number = part.split("_")[:2]
    return any(low <= int(number) <= high for low, high in there[partition])
