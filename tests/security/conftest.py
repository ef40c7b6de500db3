from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from django.test import override_settings

from millrace.embedded.pytest_plugin import REAL_CLICKHOUSE
from tests.analytics_api.conftest import api, api_factory  # noqa: F401 - fixtures
from tests.security.engine_alone import prepared
from tests.security.tally import RUN, Tally


@pytest.fixture
def tally() -> Tally:
    """The run's; a test that takes a wall down on purpose counts in one of its own."""
    return RUN


@contextmanager
def real_server() -> Iterator[None]:
    """Settings that lead to the server at ``CLICKHOUSE_URL``, where the run was given one."""
    if not REAL_CLICKHOUSE:
        yield
        return
    others = tuple(name for name in settings.EMBEDDED_SERVICES if name != "CLICKHOUSE_URL")
    with override_settings(CLICKHOUSE_URL=REAL_CLICKHOUSE, EMBEDDED_SERVICES=others):
        yield


@pytest.fixture
def server(db: None, clickhouse_server: str) -> Iterator[str]:
    """The server at ``CLICKHOUSE_URL`` where the run was given one, else the embedded engine's."""
    with real_server():
        yield REAL_CLICKHOUSE or clickhouse_server


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """The engine's folder with the data of two tenants, for the engine on its own."""
    with prepared() as made:
        yield made
