from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from millrace.embedded.pytest_plugin import REAL_CLICKHOUSE
from tests.analytics_api.conftest import api, api_factory  # noqa: F401 - fixtures
from tests.security.engine_alone import prepared
from tests.security.tally import RUN, Tally


@pytest.fixture
def tally() -> Tally:
    """The run's; a test that takes a wall down on purpose counts in one of its own."""
    return RUN


@pytest.fixture
def server(db: None, clickhouse_server: str, settings: Any) -> str:
    """The server at ``CLICKHOUSE_URL`` where the run was given one, else the embedded engine's."""
    if REAL_CLICKHOUSE:
        settings.CLICKHOUSE_URL = REAL_CLICKHOUSE
        settings.EMBEDDED_SERVICES = tuple(
            name for name in settings.EMBEDDED_SERVICES if name != "CLICKHOUSE_URL"
        )
    return REAL_CLICKHOUSE or clickhouse_server


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """The engine's folder with the data of two tenants, for the engine on its own."""
    with prepared() as made:
        yield made
