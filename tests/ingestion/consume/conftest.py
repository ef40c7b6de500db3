from __future__ import annotations

import pytest

from tests.ingestion.consume.slice_of_fakes import FakeSlice


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> FakeSlice:
    return FakeSlice(monkeypatch)
