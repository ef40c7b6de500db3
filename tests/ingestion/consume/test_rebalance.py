"""Several processes on one connection: each has its share, and partitions move only under lag."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import Q
from django.utils import timezone

from ingestion.consume import discovery
from ingestion.leases import lease, rebalance, yielding
from ingestion.models import Connection, Source, StreamPartition, Table
from ingestion.tasks import consume as tasks
from tenants.models import Tenant
from tenants.services.warehouses import create_warehouse
from tests.ingestion.running import balance, consume, consume_until, numbers

HERE, THERE, ELSEWHERE = "here:1:aa", "there:1:bb", "elsewhere:1:cc"


@pytest.fixture
def source(db: None, unique: Callable[[str], str]) -> Source:
    """A source with four partitions, each with enough lag to put its connection behind."""
    tenant = Tenant.objects.create(slug=unique("shared"), name="Shared")
    warehouse = create_warehouse(tenant)
    warehouse.applied = 1
    warehouse.save()
    on = Connection.objects.create(tenant=tenant, name="kafka", kind="kafka", addresses="none:9092")
    table = Table.objects.create(tenant=tenant, name="events", applied=1, version=1)
    made = Source.objects.create(
        tenant=tenant, name="events", connection=on, stream="events", table=table
    )
    StreamPartition.objects.bulk_create(
        StreamPartition(source=made, number=number, high_watermark=rebalance.BEHIND)
        for number in range(4)
    )
    return made


@pytest.fixture
def four(topic: Callable[..., Any], table: Table) -> Any:
    """A topic with four partitions, a message in each, and its source."""
    stream = topic(4)
    stream.source(table)
    for number in range(4):
        stream.send([b'{"n": %d}' % number], number)
    discovery.measure_connection(stream.made.connection_id)
    return stream


def owners(source: Source) -> list[str]:
    return list(source.partitions.order_by("number").values_list("lease_owner", flat=True))


def take(source: Source, owner: str, most: int = 100) -> int:
    return len(rebalance.take(source.connection_id, owner, most))


def ask(source: Source, owner: str) -> int:
    return len(rebalance.ask(source.connection_id, owner))


def let_go(source: Source, owner: str) -> None:
    """Do what a slice does at its heartbeat."""
    for pk in rebalance.give_way(owner):
        held = StreamPartition.objects.filter(source=pk, lease_owner=owner)
        lease.release(owner, list(held.values_list("pk", flat=True)))


def later(source: Source, passed: timedelta) -> None:
    """Make all marks and free partitions older by this time."""
    for one in source.partitions.all():
        one.wanted_at = one.wanted_at and one.wanted_at - passed
        if not one.lease_owner:
            one.lease_expires_at -= passed
        one.save()


def catch_up(source: Source) -> None:
    source.partitions.update(position=rebalance.BEHIND)


# --- Shares -----------------------------------------------------------------------------------


def test_one_process_takes_all(source: Source) -> None:
    assert take(source, HERE) == 4


def test_a_second_slice_of_a_process_counts_as_the_same(source: Source) -> None:
    assert take(source, HERE, most=1) == 1
    assert take(source, "here:1:dd") == 3


def test_each_of_two_takes_its_share_of_what_is_free(source: Source) -> None:
    assert take(source, HERE, most=1) == 1
    assert take(source, THERE) == 2
    assert take(source, THERE) == 0
    assert take(source, HERE) == 1


def test_what_nobody_else_comes_for_is_taken_beyond_the_share(source: Source) -> None:
    assert take(source, HERE, most=1) == 1
    assert take(source, THERE) == 2
    later(source, rebalance.SPARED)
    assert take(source, THERE) == 1


# --- Asking -----------------------------------------------------------------------------------


def test_a_newcomer_gets_its_share_and_the_owner_keeps_the_rest(source: Source) -> None:
    take(source, HERE)
    assert ask(source, THERE) == 2
    assert take(source, THERE) == 0, "it was not let go of yet"
    let_go(source, HERE)
    assert owners(source) == [""] * 4
    assert (take(source, THERE), take(source, HERE)) == (2, 2)
    assert sorted(owners(source)) == [HERE] * 2 + [THERE] * 2
    assert not source.partitions.exclude(wanted_by="", wanted_at=None).exists()


def test_a_third_takes_from_those_that_have_most(source: Source) -> None:
    test_a_newcomer_gets_its_share_and_the_owner_keeps_the_rest(source)
    assert ask(source, ELSEWHERE) == 1
    let_go(source, HERE)
    let_go(source, THERE)
    assert take(source, ELSEWHERE) == 1
    assert take(source, HERE) + take(source, THERE) == 1
    assert len(set(owners(source))) == 3


def test_two_that_ask_at_once_do_not_ask_for_more_than_there_is(source: Source) -> None:
    take(source, HERE)
    assert (ask(source, THERE), ask(source, ELSEWHERE)) == (2, 1)
    let_go(source, HERE)
    for owner in (THERE, ELSEWHERE, HERE):
        assert take(source, owner) in (1, 2)
    assert len(set(owners(source))) == 3


def test_who_has_its_share_asks_for_nothing(source: Source) -> None:
    test_a_third_takes_from_those_that_have_most(source)
    for owner in (HERE, THERE, ELSEWHERE):
        assert ask(source, owner) == 0
        assert not rebalance.may_begin(source.connection_id, owner)


def test_nothing_is_moved_while_nothing_waits(source: Source) -> None:
    take(source, HERE)
    catch_up(source)
    assert ask(source, THERE) == 0
    assert rebalance.behind() == {}


def test_little_that_waits_for_long_is_behind_too(source: Source) -> None:
    take(source, HERE)
    source.partitions.update(position=0, high_watermark=1, measured_at=timezone.now())
    assert rebalance.behind() == {}
    source.partitions.update(measured_at=timezone.now() - rebalance.LATE)
    assert rebalance.behind() == {source.connection_id: 1}
    assert ask(source, THERE) == 2


def test_who_has_no_part_of_what_is_behind_ends_a_slice_of_another_connection(
    source: Source,
) -> None:
    """All its threads may be busy with connections that bring little, so that none can ask."""
    take(source, HERE)
    assert rebalance.is_missed(THERE)
    assert not rebalance.is_missed(HERE)
    assert not yielding.may_go_on([source])  # this process has no part of it
    ask(source, THERE)
    let_go(source, HERE)
    assert take(source, THERE) > 0
    assert not rebalance.is_missed(THERE)
    catch_up(source)
    assert not rebalance.is_missed(ELSEWHERE)
    assert yielding.may_go_on([source])


def test_secrets_are_read_only_when_they_are_asked_for(source: Source) -> None:
    """A thousand sources would need as many decryptions, although reading uses no secret."""
    Connection.objects.filter(tenant=source.tenant).update(password="kept")
    (found,) = discovery.chosen(Q(pk=source.pk))
    assert found.connection is not None
    assert found.connection.get_deferred_fields() == {"password", "client_key"}
    assert "password" in found.table.tenant.warehouse.get_deferred_fields()
    assert found.connection.password == "kept"


def test_paused_sources_are_not_asked_for(source: Source) -> None:
    take(source, HERE)
    Source.objects.filter(pk=source.pk).update(active=False)
    assert ask(source, THERE) == 0
    assert rebalance.give_way(HERE) == set()


def test_an_asker_that_dies_is_forgotten(source: Source) -> None:
    take(source, HERE)
    assert ask(source, THERE) == 2
    later(source, rebalance.KEPT)
    assert rebalance.give_way(HERE) == set()
    assert ask(source, ELSEWHERE) == 2


def test_what_was_let_go_for_one_that_died_is_for_all(source: Source) -> None:
    take(source, HERE)
    ask(source, THERE)
    let_go(source, HERE)
    assert take(source, HERE) == 2
    later(source, rebalance.KEPT)
    assert take(source, HERE) == 2


def test_handing_over_is_no_crash(source: Source) -> None:
    take(source, HERE)
    ask(source, THERE)
    let_go(source, HERE)
    taken = rebalance.take(source.connection_id, THERE, 9)
    assert [one.crashes for one in taken] == [0, 0]
    assert not source.partitions.exclude(crashes=0).exists()


def test_an_owner_that_lives_was_no_crash(source: Source) -> None:
    """It was suspended, or too slow to renew; that another went on says nothing about its batch."""
    take(source, HERE)
    held = list(source.partitions.values_list("pk", flat=True))
    source.partitions.update(lease_expires_at=timezone.now())
    assert [one.crashes for one in rebalance.take(source.connection_id, THERE, 9)] == [1] * 4
    lease.release(HERE, held)
    assert not source.partitions.exclude(crashes=0, lease_owner=THERE).exists()


def test_what_is_asked_for_is_of_all_that_have_too_much() -> None:
    held = {"a": list(range(6)), "b": list(range(10, 16))}
    assert sorted(rebalance.surplus(held, "c")) == [1, 4, 11, 14]
    assert rebalance.surplus(held, "a") == []
    assert rebalance.surplus({"a": [1]}, "b") == []
    assert rebalance.surplus({}, "a") == []


# --- The tick and the slices --------------------------------------------------------------------


def test_the_tick_asks_for_one_more_slice_than_processes_read_what_is_behind(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int | None, bool]] = []

    def request(connection_id: int | None, *, for_share: bool = False) -> None:
        asked.append((connection_id, for_share))

    monkeypatch.setattr(tasks, "request_slice", request)
    take(source, HERE)
    tasks.keep_consuming()
    assert asked == [(source.connection_id, True)] * 2
    catch_up(source)
    tasks.keep_consuming()
    assert len(asked) == 2


def test_a_slice_for_a_share_begins_only_where_others_read(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    def may_begin(_: int | None, owner: str, __: object) -> bool:
        begun.append(owner)
        return False

    monkeypatch.setattr(rebalance, "may_begin", may_begin)
    monkeypatch.setattr(tasks, "new_owner", lambda: "here:1:bb")
    take(source, HERE)
    tasks.consume_slice(source.connection_id, for_share=True)
    assert begun == []
    tasks.consume_slice(source.connection_id)
    assert len(begun) == 1
    monkeypatch.setattr(tasks, "new_owner", lambda: THERE)
    tasks.consume_slice(source.connection_id, for_share=True)
    assert begun[1:] == [THERE]


def test_no_more_slices_than_partitions_are_asked_for(source: Source) -> None:
    for number in range(4):
        assert take(source, f"host:{number}:ee", most=1) == 1
    assert rebalance.behind() == {}


@pytest.mark.slow
def test_a_slice_lets_go_and_all_lands_once(four: Any, table: Table) -> None:
    """While it runs, another process asks for a share; both continue where it stopped."""
    source = four.made
    asked: list[int] = []

    def meanwhile() -> bool:
        if len(numbers(table)) == 4 and not asked:
            source.partitions.update(high_watermark=2 * rebalance.BEHIND)
            asked.append(ask(source, THERE))
        return False

    consume(source, 60, should_stop=meanwhile)
    assert asked == [2]
    assert owners(source) == [""] * 4, "it ended long before its time, with nothing left to read"
    for number in range(4):
        four.send([b'{"n": %d}' % (4 + number)], number)
    assert take(source, THERE) == 2
    consume(source, 1.0)
    assert len(numbers(table)) == 6, "the two that it kept"
    lease.release(THERE, list(source.partitions.values_list("pk", flat=True)))
    consume_until(source, lambda: len(numbers(table)) >= 8)
    assert numbers(table) == list(range(8))
    discovery.measure_connection(source.connection_id)
    balance(source)


@pytest.mark.slow
def test_a_slice_takes_no_more_than_its_share(four: Any, table: Table) -> None:
    source = four.made
    take(source, THERE, most=2)
    consume(source, 1.0)
    assert len(numbers(table)) == 2


def test_an_asker_waits_until_it_is_let_go_of(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(source, HERE)
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            let_go(source, HERE)

    monkeypatch.setattr(time, "sleep", sleep)
    assert rebalance.may_begin(source.connection_id, THERE)
    assert len(looks) == 3
