"""Which batches are inserted next: real buffers, permits and queue, and a fake clock."""

from __future__ import annotations

from threading import Event

from ingestion.consume.scheduling.batch_policy import INSERTS, SMALL_ROWS
from ingestion.consume.scheduling.candidate import Candidate
from ingestion.consume.scheduling.due import Due
from ingestion.consume.scheduling.insert_slots import Permits
from ingestion.consume.scheduling.selection import Chooser, Group
from tests.ingestion.consume.slice_of_fakes import FakeSlice

LARGE = SMALL_ROWS + 1


def choose(fakes: FakeSlice, due: list[Candidate], room: int = INSERTS) -> list[list[int]]:
    groups = fakes.state.chooser.choose(fakes.state.readers, Due(due, []), room)
    return [keys(group) for group in groups]


def keys(group: Group) -> list[int]:
    return [candidate.reader.source.pk for candidate in group.candidates]


def test_no_tenant_takes_all_inserts_where_there_are_others(fakes: FakeSlice) -> None:
    due = [fakes.holds(fakes.reader(key, tenant=1), LARGE) for key in (1, 2)]
    fakes.reader(3, tenant=2)  # which has nothing now, and may have something at once
    assert choose(fakes, due) == [[1]]


def test_a_tenant_by_itself_takes_them_all(fakes: FakeSlice) -> None:
    due = [fakes.holds(fakes.reader(key, tenant=1), LARGE) for key in (1, 2, 3)]
    assert choose(fakes, due) == [[1], [2]]


def test_what_a_tenant_has_under_way_counts(fakes: FakeSlice) -> None:
    fakes.inserts(fakes.reader(1, tenant=1), LARGE)
    due = [fakes.holds(fakes.reader(key, tenant=key - 1), LARGE) for key in (2, 3)]
    assert choose(fakes, due) == [[3]]


def test_there_are_no_more_groups_than_room(fakes: FakeSlice) -> None:
    due = [fakes.holds(fakes.reader(key), LARGE) for key in (1, 2, 3)]
    assert [len(choose(fakes, due, room)) for room in (0, 1, 2)] == [0, 1, 2]


def test_the_tenant_furthest_behind_is_next(fakes: FakeSlice) -> None:
    first, second = fakes.reader(1), fakes.reader(2)
    assert choose(fakes, [fakes.holds(first, LARGE)], 1) == [[1]]
    due = [fakes.holds(first, LARGE), fakes.holds(second, LARGE)]
    assert choose(fakes, due, 1) == [[2]]


def test_what_is_shared_takes_a_permit_and_gives_it_back(fakes: FakeSlice) -> None:
    permits, other = Permits(1, fakes.clock), Event()
    chooser = Chooser(permits, fakes.woken)
    due = [fakes.holds(fakes.reader(key)) for key in (1, 2)]
    (group,) = chooser.choose(fakes.state.readers, Due(due, []), INSERTS)
    assert (keys(group), group.is_shared) == ([1, 2], True)
    assert not permits.take(other, 0.0)
    assert chooser.choose(fakes.state.readers, Due(due, []), INSERTS) == []
    group.ended()
    fakes.clock.now += 2.0  # the slice's own claim is stale by now
    assert permits.take(other, 0.0)
    permits.give(other)
    chooser.choose(fakes.state.readers, Due(due, []), INSERTS)
    chooser.close()
    assert permits.take(other, 0.0)


def test_what_has_grown_or_left_since_does_not_go_with_the_others(fakes: FakeSlice) -> None:
    small, grown, left = (fakes.holds(fakes.reader(key)) for key in (1, 2, 3))
    group = Group([small, grown, left], is_shared=True, ended=lambda: None)
    fakes.holds(grown.reader, LARGE)
    left.buffer.discard()
    group.drop_unfit()
    assert keys(group) == [1]
    alone = Group([grown], is_shared=False, ended=lambda: None)
    alone.drop_unfit()
    assert keys(alone) == [2]
