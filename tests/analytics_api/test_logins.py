"""What a request to ClickHouse carries of its user."""

from __future__ import annotations

import pytest

from analytics_api.query_client import Account, QueryCall
from analytics_api.query_client.connections import pool
from analytics_api.query_client.query_call import _request


@pytest.mark.usefixtures("clickhouse_server")
def test_a_password_may_have_any_letters() -> None:
    request = _request(pool(), Account("t_a", "t_a", "pässwörd"), QueryCall("SELECT 1", {}, "JSON"))
    assert "X-ClickHouse-Key: pässwörd\r\n".encode() in request
