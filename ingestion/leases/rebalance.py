"""Shares a connection's partitions among the processes that consume it.

Each process gets an equal number of partitions. While a connection is behind, a process with less
than its share asks for more: it marks partitions of the processes that have most as *wanted*. Their
owner sees the marks at its next heartbeat and gives up the marked sources, each as a whole. A mark
reserves each partition of such a source for one process, the asker or the owner itself, until it is
taken or KEPT has passed. A process that has its share never asks, so nothing moves to and fro; and
nothing moves unless messages wait.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from django.db import transaction
from django.db.models import Case, CharField, Count, F, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Coalesce, Greatest, Now

from ingestion.batches.batch import Lease
from ingestion.leases import lease
from ingestion.models import Source, StreamPartition

#: A connection is behind if more messages than this wait in its leased partitions, as last
#: measured,
BEHIND = 50_000
#: or if messages that were there at a measurement have not landed after this time.
LATE = timedelta(seconds=5)
#: How long a mark reserves a partition for one process.
KEPT = timedelta(seconds=10)
#: How long a free partition waits for a process with less than its share; then any may take it.
SPARED = timedelta(seconds=3)
#: Seconds that a process waits for the partitions that it asked for, and between two looks.
PATIENCE, LOOK = 6.0, 0.2

_LAG = Greatest(
    F("high_watermark") - Greatest(Coalesce(F("position"), F("low_watermark")), F("low_watermark")),
    Value(0),
)


def process_of(owner: str) -> str:
    """The process of a lease owner (``lease.new_owner``): its host and pid."""
    return owner.rpartition(":")[0]


def behind() -> dict[int | None, int]:
    """Connections that are behind and that more processes could read; how many read each now.

    One query.
    """
    return _behind(_running())


def is_missed(owner: str) -> bool:
    """Whether a connection is behind of which this process has no partition, and could have some.

    All threads of the process may be busy with connections that bring little, so that none can ask.
    """
    late = set(behind())
    if not late:
        return False
    mine = StreamPartition.across_tenants.filter(
        _is_leased(), lease_owner__startswith=f"{process_of(owner)}:"
    )
    held = mine.order_by().values_list("source__connection_id", flat=True).distinct()
    return bool(late.difference(held))


def _behind(leased: QuerySet[StreamPartition]) -> dict[int | None, int]:
    numbers: Counter[int | None] = Counter()
    lags: Counter[int | None] = Counter()
    processes: dict[int | None, set[str]] = defaultdict(set)
    late: Counter[int | None] = Counter()
    rows = (
        leased.annotate(lag_now=_LAG)
        .values_list("source__connection_id", "lease_owner")
        .annotate(
            number=Count("pk"),
            messages=Sum("lag_now"),
            late=Count("pk", filter=Q(lag_now__gt=0, measured_at__lte=Now() - LATE)),
        )
        .order_by()
    )
    for connection_id, owner, number, lag, late_here in rows:
        numbers[connection_id] += number
        lags[connection_id] += lag
        late[connection_id] += late_here
        processes[connection_id].add(process_of(owner))
    return {
        connection_id: len(processes[connection_id])
        for connection_id, number in numbers.items()
        if (lags[connection_id] > BEHIND or late[connection_id])
        and len(processes[connection_id]) < number
    }


# --- Taking -------------------------------------------------------------------------------------


def take(connection_id: int | None, owner: str, most: int) -> list[Lease]:
    """Lease this process's part of the free partitions, ``most`` at most."""
    number = min(most, limit(connection_id, owner))
    return lease.take(connection_id, owner, number, open_to(owner)) if number else []


def limit(connection_id: int | None, owner: str) -> int:
    """How many partitions a slice may take: its process's share, less those that it has already.

    A single process may take all. Partitions that have been free for SPARED may be taken beyond the
    share, because no other process has come for them.
    """
    process = process_of(owner)
    held = {holder: len(ids) for holder, ids in _held(connection_id).items()}
    free = StreamPartition.across_tenants.filter(lease.free(connection_id))
    total = sum(held.values()) + free.filter(~_is_kept()).count()
    spare = free.filter(open_to(owner), lease_expires_at__lte=Now() - SPARED).count()
    own = StreamPartition.across_tenants.filter(_is_leased(), lease_owner__startswith=f"{process}:")
    share = -(-total // len(held.keys() | {process}))
    return max(0, share - _of(connection_id, own).count(), spare)


def open_to(owner: str) -> Q:
    """Partitions that are not reserved for another process."""
    return ~_is_kept() | Q(wanted_by__startswith=f"{process_of(owner)}:")


# --- Asking and giving way ----------------------------------------------------------------------


def may_begin(
    connection_id: int | None, owner: str, should_stop: Callable[[], bool] = lambda: False
) -> bool:
    """Whether a slice has something to take. If not, asks processes that have too much, and waits.

    Waits up to PATIENCE seconds.
    """
    if _is_something_open(connection_id, owner):
        return True
    marked = ask(connection_id, owner)
    until = time.monotonic() + PATIENCE
    while marked and time.monotonic() < until and not should_stop():
        if not StreamPartition.across_tenants.filter(_is_leased(), pk__in=marked).exists():
            break
        time.sleep(LOOK)
    return bool(marked) and _is_something_open(connection_id, owner)


def is_alone(connection_id: int | None, owner: str) -> bool:
    """Whether no other process reads the connection."""
    leased = _of(connection_id, StreamPartition.across_tenants.filter(_is_leased()))
    return not leased.exclude(lease_owner__startswith=f"{process_of(owner)}:").order_by().exists()


def ask(connection_id: int | None, owner: str) -> list[int]:
    """Mark as wanted the partitions that this process lacks; returns their keys.

    Marks none unless the connection is behind and another process reads it.
    """
    if is_alone(connection_id, owner):
        return []
    if connection_id not in _behind(_of(connection_id, _running())):
        return []
    with transaction.atomic():
        surplus_ids = surplus(_held(connection_id), process_of(owner))
        marked = list(
            StreamPartition.across_tenants.select_for_update(skip_locked=True, of=("self",))
            .filter(_is_leased(), pk__in=surplus_ids)
            .order_by("pk")
            .values_list("pk", flat=True)
        )
        StreamPartition.across_tenants.filter(pk__in=marked).update(
            wanted_by=owner, wanted_at=Now()
        )
    return marked


def give_way(owner: str) -> set[int]:
    """Sources that ``owner`` must give up, because another process wants some of their partitions.

    Reserves their other partitions for this process. KEPT begins anew at each call, so that a batch
    under way may take its time.
    """
    own = StreamPartition.across_tenants.filter(lease_owner=owner).order_by()
    process = f"{process_of(owner)}:"
    wanted = own.filter(_is_kept()).exclude(wanted_by__startswith=process)
    sources = set(wanted.values_list("source_id", flat=True))
    if sources:
        keeper = Case(When(_is_kept(), then=F("wanted_by")), default=Value(owner))
        lease.update_partitions(own.filter(source__in=sources), wanted_by=keeper, wanted_at=Now())
    return sources


def surplus(held: Mapping[str, Sequence[int]], process: str) -> list[int]:
    """Partitions that ``process`` may ask for. ``held``: partitions by process, by falling lag.

    It gets its share, rounded down, from the processes that have most. From each of them it gets
    some partitions that are far behind and some that are not.
    """
    counts = {holder: len(ids) for holder, ids in held.items()}
    counts.setdefault(process, 0)
    share = sum(counts.values()) // len(counts)
    donated: Counter[str] = Counter()
    while counts[process] < share:
        # The name decides between equals, so that the choice is the same each time.
        donor = max(counts, key=lambda holder: (counts[holder], holder))
        counts[donor] -= 1
        counts[process] += 1
        donated[donor] += 1
    return [pk for donor, number in donated.items() for pk in _spread(held[donor], number)]


def _spread(ids: Sequence[int], number: int) -> list[int]:
    """``number`` of the ids, evenly spaced."""
    return [ids[(2 * index + 1) * len(ids) // (2 * number)] for index in range(number)]


# --- What is in Postgres ------------------------------------------------------------------------


def _is_leased() -> Q:
    return Q(lease_expires_at__gt=Now()) & ~Q(lease_owner="")


def _is_kept() -> Q:
    """Partitions with a mark, leased or free. The mark of a process that died expires."""
    return Q(wanted_at__isnull=False, wanted_at__gt=Now() - KEPT)


def _of(
    connection_id: int | None, partitions: QuerySet[StreamPartition]
) -> QuerySet[StreamPartition]:
    return partitions.filter(Q(source__connection_id=connection_id))


def _running() -> QuerySet[StreamPartition]:
    """Partitions that are being read: leased, but not by a reset, nor of a paused source."""
    sources = Source.across_tenants.filter(lease.runnable())
    return StreamPartition.across_tenants.filter(_is_leased(), retired_at=None, source__in=sources)


def _held(connection_id: int | None) -> dict[str, list[int]]:
    """Partitions by process, the furthest behind first. A wanted one counts as the asker's."""
    sources = Source.across_tenants.filter(lease.runnable())
    partitions = StreamPartition.across_tenants.filter(retired_at=None, source__in=sources)
    holder = Case(
        When(_is_kept(), then=F("wanted_by")), default=F("lease_owner"), output_field=CharField()
    )
    rows = (
        _of(connection_id, partitions.filter(_is_leased() | _is_kept()))
        .annotate(holder=holder, lag_now=_LAG)
        .order_by("-lag_now", "pk")
        .values_list("pk", "holder")
    )
    held: dict[str, list[int]] = defaultdict(list)
    for pk, owner in rows:
        held[process_of(owner)].append(pk)
    return held


def _is_something_open(connection_id: int | None, owner: str) -> bool:
    new = Source.across_tenants.filter(
        lease.runnable() & Q(connection_id=connection_id, retry_at__lte=Now(), partitions=None)
    )
    free = StreamPartition.across_tenants.filter(lease.free(connection_id), open_to(owner))
    return new.exists() or (free.exists() and limit(connection_id, owner) > 0)
