"""What a request to ClickHouse carries of its user."""

from __future__ import annotations

import pytest

from analytics_api.engine import Account, Call
from analytics_api.engine.call import _request
from analytics_api.engine.connections import pool


@pytest.mark.usefixtures("clickhouse_server")
def test_a_password_may_have_any_letters() -> None:
    request = _request(pool(), Account("t_a", "t_a", "pässwörd"), Call("SELECT 1", {}, "JSON"))
    assert "X-ClickHouse-Key: pässwörd\r\n".encode() in request
