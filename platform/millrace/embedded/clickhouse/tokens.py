"""Tokens of inserts whose part was never stored, as a kill in mid-insert can leave them.

A MergeTree table notes a part's token before it stores the part (``MergeTreeDeduplicationLog``,
``deduplication_logs/deduplication_log_N.txt``: op, part, block id, a line each; op 1 adds, 2
drops). Killed between the two, it would take the retry of that insert for a duplicate, and say
that all is there. So before the engine opens its folder, tokens of missing parts are dropped.
"""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

#: Lines of a table's log that are looked at: so many inserts can have been under way at the most.
_LAST = 256
_ADDED, _DROPPED = "1", "2"
#: PARTITION_MIN_MAX_LEVEL, and _MUTATION behind it where there was one.
_NAME_FIELDS = (4, 5)


def forget_lost(store: Path) -> int:
    """Drop tokens whose part is in no folder of their table; returns how many.

    ``store`` is the engine's folder, which nobody has open. A log that can't be read or written, as
    on a full disk, is left as it is: the engine starts nonetheless.
    """
    forgotten = 0
    for folder in sorted(store.glob("store/*/*/deduplication_logs")):
        try:
            lost = _lost(folder)
            if not lost:
                continue
            _append(_logs(folder)[-1], lost)
        except (OSError, ValueError) as error:
            log.warning("%s: tokens of lost parts stay: %s", folder, error)
            continue
        names = ", ".join(part for part, _ in lost)
        log.warning("%s: parts that a kill has cost, to be inserted anew: %s", folder.parent, names)
        forgotten += len(lost)
    return forgotten


def _append(path: Path, lost: list[tuple[str, str]]) -> None:
    """All of it or, where the disk is full, nothing: half a line would be one with the next."""
    size = path.stat().st_size
    try:
        with path.open("a") as file:
            file.writelines(f"{_DROPPED}\t{part}\t{block}\n" for part, block in lost)
    except OSError:
        os.truncate(path, size)
        raise


def _logs(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.txt"), key=lambda one: int(one.stem.rpartition("_")[2]))


def _lost(folder: Path) -> list[tuple[str, str]]:
    """Parts and block ids of the last tokens whose part is not there."""
    text = "".join(one.read_text() for one in _logs(folder)[-2:])
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
    there = _ranges(one.name for one in folder.parent.iterdir() if one.is_dir())
    return [(part, block) for block, part in noted.items() if not _is_there(part, there)]


def _ranges(names: Iterable[str]) -> dict[str, list[tuple[int, int]]]:
    """The numbers of blocks that parts hold, by partition."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for name in names:
        fields = name.split("_")
        if len(fields) in _NAME_FIELDS and all(one.isdigit() for one in fields[1:]):
            found[fields[0]].append((int(fields[1]), int(fields[2])))
    return found


def _is_there(part: str, there: dict[str, list[tuple[int, int]]]) -> bool:
    partition, number = part.split("_")[:2]
    return any(low <= int(number) <= high for low, high in there[partition])
