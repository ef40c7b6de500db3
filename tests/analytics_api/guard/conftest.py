from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from analytics_api.guard import GuardedQuery, check
from tests.security.cast import MINE, TABLES
from tests.security.engine_alone import EVERYTHING, EngineAlone, ask_of, opened, prepared

Guard = Callable[[str], GuardedQuery]


@pytest.fixture(scope="session")
def engine() -> Iterator[EngineAlone]:
    """The engine on its own, over the corpus's data, with every right."""
    with prepared() as folder, opened(folder, EVERYTHING, limited=False) as made:
        yield made


@pytest.fixture
def guard(engine: EngineAlone) -> Guard:
    """The guard as it works where ClickHouse can write a statement's tree."""
    ask: Callable[[str, Mapping[str, Any]], list[dict[str, Any]]] = ask_of(engine)
    return lambda sql: check(sql, tables=TABLES, database=MINE, ask=ask)
