"""Step insert: announced groups are submitted, and empty groups return their permits."""

from __future__ import annotations

import pytest

from ingestion.consume.scheduling.selection import Group
from ingestion.consume.steps import insert
from tests.ingestion.consume.slice_of_fakes import FakeSlice


@pytest.mark.slow
def test_each_group_is_one_insert(fakes: FakeSlice) -> None:
    ended: list[str] = []
    first, second = fakes.inserts(fakes.reader(1)), fakes.inserts(fakes.reader(2))
    fakes.state.announced = [
        Group([first], is_shared=False, ended=lambda: ended.append("first")),
        Group([second], is_shared=False, ended=lambda: ended.append("second")),
    ]
    insert.run(fakes.state, 100.0)
    assert [members for members, _ in fakes.pool.submitted] == [[first], [second]]
    assert ended == [], "Its permit is given back when it is over."
    insert.run(fakes.state, 100.0)
    assert len(fakes.pool.submitted) == 2


def test_a_group_of_which_nothing_is_left_gives_its_permit_back(fakes: FakeSlice) -> None:
    ended: list[str] = []
    fakes.state.announced = [Group([], is_shared=True, ended=lambda: ended.append("it"))]
    insert.run(fakes.state, 100.0)
    assert (fakes.pool.submitted, ended) == ([], ["it"])
