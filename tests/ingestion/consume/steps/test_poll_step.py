"""Step poll: which readers are polled, how often, and what stays at the broker."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ingestion.consume.scheduling.batch_policy import SMALL_ROWS
from ingestion.consume.scheduling.idle_strategy import MANY
from ingestion.consume.source_reader import SourceReader
from ingestion.consume.steps import poll
from ingestion.errors import BrokerUnreachable
from tests.ingestion.consume.slice_of_fakes import POLICY, FakeSlice, messages


def sends(reader: SourceReader, *rows: int) -> None:
    """Let each poll of the reader bring so many messages."""
    first, stream = reader.buffers[0].position, reader.stream
    for count in rows:
        stream.arrived.append([messages(first, count)])  # type: ignore[attr-defined]
        first += count


def test_what_has_arrived_waits_in_the_buffers(fakes: FakeSlice) -> None:
    first, second = fakes.reader(1), fakes.reader(2)
    sends(first, 3)
    sends(second, 4)
    fakes.clock.now = 103.0
    poll.run(fakes.state, 103.0)
    assert (first.buffers[0].rows, second.buffers[0].rows) == (3, 4)
    assert (fakes.state.progress, fakes.state.brought_at) == (7, 103.0)
    assert fakes.state.has_looked


def test_nothing_that_has_come_counts_as_looked_at_but_not_as_brought(fakes: FakeSlice) -> None:
    fakes.reader(1)
    fakes.clock.now = 103.0
    poll.run(fakes.state, 103.0)
    assert (fakes.state.progress, fakes.state.brought_at, fakes.state.has_looked) == (0, 100, True)


def test_after_little_the_broker_is_left_alone_for_a_while(fakes: FakeSlice) -> None:
    reader = fakes.reader(1)
    sends(reader, 1, 1)
    poll.run(fakes.state, 100.0)
    assert fakes.state.poll_at > 100.0
    poll.run(fakes.state, 100.0)
    assert (reader.buffers[0].rows, fakes.state.has_looked) == (1, False)
    fakes.clock.now = fakes.state.poll_at
    poll.run(fakes.state, fakes.clock.now)
    assert reader.buffers[0].rows == 2


def test_after_as_much_as_a_poll_may_bring_the_next_follows_at_once(fakes: FakeSlice) -> None:
    reader = fakes.reader(1)
    sends(reader, poll.POLL_ROWS, 1)
    poll.run(fakes.state, 100.0)
    assert fakes.state.poll_at == 100.0


def test_a_tenant_that_holds_its_share_is_not_polled(fakes: FakeSlice) -> None:
    full, hungry = fakes.reader(1), fakes.reader(2)
    fakes.holds(full)
    fakes.state.policy = replace(POLICY, held_bytes=2 * full.held_bytes)
    sends(full, 1)
    sends(hungry, 1)
    poll.run(fakes.state, 100.0)
    assert [name for _, name, _ in fakes.done("poll")] == ["s2"]


def test_where_the_broker_fails_as_a_whole_all_leave(fakes: FakeSlice) -> None:
    error = BrokerUnreachable("away")
    fakes.broker.fails_at["receive"] = error
    fakes.reader(1)
    fakes.reader(2)
    poll.run(fakes.state, 100.0)
    assert (fakes.state.readers, fakes.errors) == ([], {1: error, 2: error})
    assert not fakes.state.has_looked


def test_a_source_that_fails_leaves_and_the_others_are_polled(fakes: FakeSlice) -> None:
    error = BrokerUnreachable("away")
    failing, other = fakes.reader(1), fakes.reader(2)
    sends(failing, 1)
    sends(other, 1)
    failing.stream.fails_at["poll"] = error  # type: ignore[attr-defined]
    poll.run(fakes.state, 100.0)
    assert (fakes.state.readers, fakes.errors, fakes.state.progress) == ([other], {1: error}, 1)


@pytest.mark.parametrize(("inserts", "polled"), [(0, True), (2, False)])
def test_many_sources_are_polled_seldom_while_all_inserts_are_under_way(
    fakes: FakeSlice, inserts: int, polled: bool
) -> None:
    for key in range(1, MANY + 1):
        fakes.reader(key).brought_at = 100.0
    fakes.pool.submitted = [([], lambda: None)] * inserts
    poll.run(fakes.state, 100.0)
    assert fakes.state.has_looked is polled
    pause = fakes.state.poll_pause(100.0)
    poll.run(fakes.state, 100.0 + poll.BUSY_PATIENCE * pause)
    assert fakes.state.has_looked


def test_what_is_inserted_next_takes_along_what_has_come_since(fakes: FakeSlice) -> None:
    chosen, full, other = fakes.holds(fakes.reader(1)), fakes.reader(2), fakes.reader(3)
    fakes.state.policy = replace(POLICY, held_bytes=9 * chosen.reader.held_bytes)
    beyond = fakes.holds(full, rows=9)
    for reader in (chosen.reader, full, other):
        sends(reader, 4)
    poll.freshen(fakes.state, [chosen, beyond])
    assert fakes.done("poll") == [("poll", "s1", SMALL_ROWS)]
    assert (chosen.buffer.rows, beyond.buffer.rows, other.buffers[0].rows) == (5, 9, 0)
    fakes.log.clear()
    poll.freshen(fakes.state, [])
    assert fakes.done() == []
