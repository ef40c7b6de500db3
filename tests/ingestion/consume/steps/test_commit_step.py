"""Step commit: the broker is told last, once for each reader, including readers that leave."""

from __future__ import annotations

from ingestion.batches import settle
from ingestion.consume.source_reader import SourceReader
from ingestion.consume.steps import commit
from ingestion.errors import BrokerUnreachable
from tests.ingestion.consume.slice_of_fakes import FakeSlice


def landed(fakes: FakeSlice, key: int, **positions: int) -> SourceReader:
    """A reader whose messages before these positions, by partition, have landed."""
    reader = fakes.reader(key, partitions=2)
    reader.uncommitted = {int(number[1:]): at for number, at in positions.items()}
    fakes.state.uncommitted.append(reader)
    return reader


def test_a_reader_acknowledges_all_of_its_partitions_at_once(fakes: FakeSlice) -> None:
    reader = landed(fakes, 1, p0=5, p1=7)
    fakes.state.uncommitted.append(reader)
    commit.run(fakes.state, 100.0)
    assert fakes.done() == [("acknowledge", "s1", {0: 5, 1: 7}), ("commit", "broker")]
    commit.run(fakes.state, 100.0)
    assert fakes.done("acknowledge") == [("acknowledge", "s1", {0: 5, 1: 7})]


def test_one_that_can_not_acknowledge_leaves_and_the_others_do(fakes: FakeSlice) -> None:
    error = BrokerUnreachable("away")
    first, second = landed(fakes, 1, p0=5), landed(fakes, 2, p0=9)
    first.stream.fails_at["acknowledge"] = error  # type: ignore[attr-defined]
    commit.run(fakes.state, 100.0)
    assert fakes.errors == {1: error}
    assert ("acknowledge", "s2", {0: 9}) in fakes.done()
    assert fakes.state.readers == [second]


def test_where_the_broker_fails_as_a_whole_all_leave(fakes: FakeSlice) -> None:
    error = BrokerUnreachable("away")
    fakes.broker.fails_at["commit"] = error
    fakes.reader(1)
    fakes.reader(2)
    commit.run(fakes.state, 100.0)
    assert (fakes.state.readers, fakes.errors) == ([], {1: error, 2: error})
    assert sorted(fakes.released) == [10, 20]


def test_a_reader_that_has_left_acknowledges_before_it_closes(fakes: FakeSlice) -> None:
    reader = landed(fakes, 1, p0=5)
    fakes.inserts(reader, number=1)
    fakes.state.leave(reader, None)
    assert fakes.done("close") == []
    reader.buffers[1].under_way = None
    commit.run(fakes.state, 100.0)
    assert [what for what, name, *_ in fakes.done() if name == "s1"] == ["acknowledge", "close"]
    assert fakes.released == [10, 11]


def test_whatever_closes_a_reader_nothing_is_settled_that_was_not_acknowledged(
    fakes: FakeSlice, monkeypatch
) -> None:
    """Messages of settled batches are not recognised if the broker delivers them again."""
    reader = fakes.reader(1)
    candidate = fakes.inserts(reader)
    token = candidate.batch.intent.token
    fakes.lands(candidate)
    (result,) = fakes.pool.collect()
    assert result.landed is not None
    reader.landed(candidate.buffer, result.landed.stats)
    monkeypatch.setattr(settle, "close", lambda batches: fakes.log.append(("settle", *batches)))
    fakes.state.leave(reader, None)  # between the steps finish and commit
    assert fakes.done() == [
        ("acknowledge", "s1", {0: 1}),
        ("flush", "s1"),
        ("settle", token),
        ("close", "s1"),
    ]
    fakes.log.clear()
    other = fakes.reader(2)
    candidate = fakes.inserts(other)
    other.landed(candidate.buffer, result.landed.stats)
    other.stream.fails_at["acknowledge"] = BrokerUnreachable("away")  # type: ignore[attr-defined]
    fakes.state.leave(other, None)
    assert [what for what, *_ in fakes.done()] == ["acknowledge", "close"]
