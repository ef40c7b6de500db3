"""Which of a connection's partitions are whose, where several processes consume it.

A process has its share of them, by number. While a connection is behind, one that has less than
its share asks: it marks partitions of those that have most as *wanted*. Their owner sees that at
its next heartbeat and lets these sources go, as a whole; a mark keeps each of their partitions for
whom it is meant, the asker or the owner itself, until it is taken or KEPT is over. Nobody asks who
has a share already, so that nothing is moved to and fro; and nothing is moved where none waits.
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

#: A connection is behind when so many messages wait, as last measured, where somebody reads ...
BEHIND = 50_000
#: ... or when what was there at a measurement has not landed after so long.
LATE = timedelta(seconds=5)
#: How long a partition is kept for whom it was meant.
KEPT = timedelta(seconds=10)
#: How long a free one waits for a process that has less than its share; then any may take it.
SPARED = timedelta(seconds=3)
#: Seconds that an asker waits for what it asked for, and between two looks.
PATIENCE, LOOK = 6.0, 0.2

_LAG = Greatest(
    F("high_watermark") - Greatest(Coalesce(F("position"), F("low_watermark")), F("low_watermark")),
    Value(0),
)


def process_of(owner: str) -> str:
    """Which process a lease owner (``lease.new_owner``) belongs to: its host and pid."""
    return owner.rpartition(":")[0]


def behind() -> dict[int | None, int]:
    """By connection that is behind, and that more processes could read: how many do. One query."""
    return _behind(_running())


def is_missed(owner: str) -> bool:
    """Whether a connection is behind of which this process has no part, and could have one.

    Its threads may all be with connections that bring little, so that none is free to ask.
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
        one: len(processes[one])
        for one, number in numbers.items()
        if (lags[one] > BEHIND or late[one]) and len(processes[one]) < number
    }


# --- Taking -------------------------------------------------------------------------------------


def take(connection_id: int | None, owner: str, most: int) -> list[Lease]:
    """Lease this process's part of what is free, ``most`` partitions at the most."""
    number = min(most, limit(connection_id, owner))
    return lease.take(connection_id, owner, number, open_to(owner)) if number else []


def limit(connection_id: int | None, owner: str) -> int:
    """How many partitions a slice may take: its process's share, less what that has already.

    With one process all. What has been free for SPARED counts on top: nobody else came for it.
    """
    process = process_of(owner)
    held = {one: len(ids) for one, ids in _held(connection_id).items()}
    free = StreamPartition.across_tenants.filter(lease.free(connection_id))
    total = sum(held.values()) + free.filter(~_is_kept()).count()
    spare = free.filter(open_to(owner), lease_expires_at__lte=Now() - SPARED).count()
    own = StreamPartition.across_tenants.filter(_is_leased(), lease_owner__startswith=f"{process}:")
    share = -(-total // len(held.keys() | {process}))
    return max(0, share - _of(connection_id, own).count(), spare)


def open_to(owner: str) -> Q:
    """Partitions that are not kept for another process."""
    return ~_is_kept() | Q(wanted_by__startswith=f"{process_of(owner)}:")


# --- Asking and giving way ----------------------------------------------------------------------


def may_begin(
    connection_id: int | None, owner: str, should_stop: Callable[[], bool] = lambda: False
) -> bool:
    """Whether a slice has something to take. If not, and others have too much, ask and wait.

    Waits PATIENCE seconds at the most.
    """
    if _is_something_open(connection_id, owner):
        return True
    wanted = ask(connection_id, owner)
    until = time.monotonic() + PATIENCE
    while wanted and time.monotonic() < until and not should_stop():
        if not StreamPartition.across_tenants.filter(_is_leased(), pk__in=wanted).exists():
            break
        time.sleep(LOOK)
    return bool(wanted) and _is_something_open(connection_id, owner)


def is_alone(connection_id: int | None, owner: str) -> bool:
    """Whether no other process reads the connection."""
    leased = _of(connection_id, StreamPartition.across_tenants.filter(_is_leased()))
    return not leased.exclude(lease_owner__startswith=f"{process_of(owner)}:").order_by().exists()


def ask(connection_id: int | None, owner: str) -> list[int]:
    """Mark as wanted what this process lacks of its share; which partitions that are.

    None unless the connection is behind.
    """
    if is_alone(connection_id, owner):
        return []
    if connection_id not in _behind(_of(connection_id, _running())):
        return []
    with transaction.atomic():
        wanted = surplus(_held(connection_id), process_of(owner))
        marked = list(
            StreamPartition.across_tenants.select_for_update(skip_locked=True, of=("self",))
            .filter(_is_leased(), pk__in=wanted)
            .order_by("pk")
            .values_list("pk", flat=True)
        )
        StreamPartition.across_tenants.filter(pk__in=marked).update(
            wanted_by=owner, wanted_at=Now()
        )
    return marked


def give_way(owner: str) -> set[int]:
    """Sources that ``owner`` should let go of, since another process wants partitions of theirs.

    Their other partitions are kept for this process. KEPT counts anew at each call, so that a
    batch under way may take its time.
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
    """Partitions that ``process`` may ask for, out of what each holds, the furthest behind first.

    It gets no more than its share, rounded down, of those that have most; of each one's some that
    are far behind and some that are not.
    """
    counts = {one: len(ids) for one, ids in held.items()}
    counts.setdefault(process, 0)
    share = sum(counts.values()) // len(counts)
    given: Counter[str] = Counter()
    while counts[process] < share:
        donor = max(counts, key=lambda one: (counts[one], one))
        counts[donor] -= 1
        counts[process] += 1
        given[donor] += 1
    return [one for donor, number in given.items() for one in _spread(held[donor], number)]


def _spread(ids: Sequence[int], number: int) -> list[int]:
    return [ids[(2 * index + 1) * len(ids) // (2 * number)] for index in range(number)]


# --- What is in Postgres ------------------------------------------------------------------------


def _is_leased() -> Q:
    return Q(lease_expires_at__gt=Now()) & ~Q(lease_owner="")


def _is_kept() -> Q:
    """Wanted, whether leased or free; the mark of one that died expires."""
    return Q(wanted_at__isnull=False, wanted_at__gt=Now() - KEPT)


def _of(
    connection_id: int | None, partitions: QuerySet[StreamPartition]
) -> QuerySet[StreamPartition]:
    return partitions.filter(Q(source__connection_id=connection_id))


def _running() -> QuerySet[StreamPartition]:
    """Partitions that are being read. What a reset or a paused source holds is not touched."""
    sources = Source.across_tenants.filter(lease.runnable())
    return StreamPartition.across_tenants.filter(_is_leased(), retired_at=None, source__in=sources)


def _held(connection_id: int | None) -> dict[str, list[int]]:
    """Partitions of each process, the furthest behind first: what is wanted is the asker's."""
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
    found: dict[str, list[int]] = defaultdict(list)
    for pk, owner in rows:
        found[process_of(owner)].append(pk)
    return found


def _is_something_open(connection_id: int | None, owner: str) -> bool:
    new = Source.across_tenants.filter(
        lease.runnable() & Q(connection_id=connection_id, retry_at__lte=Now(), partitions=None)
    )
    free = StreamPartition.across_tenants.filter(lease.free(connection_id), open_to(owner))
    return new.exists() or (free.exists() and limit(connection_id, owner) > 0)
