"""Wall one on the server at hand: the tenant's own user, by HTTP, with nothing else in the way.

The embedded server by default, where its own reading of statements stands before the engine; a
real one where ``CLICKHOUSE_URL`` names one.
"""

from __future__ import annotations

import http.client
import urllib.parse
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from tenants.models import Tenant, Warehouse
from tenants.warehouse import client
from tenants.warehouse.errors import StatementFailed
from tests.security import attacks
from tests.security.cast import CANARY, PREPARED, named
from tests.security.engine_alone import Outcome, leak
from tests.security.tally import Tally

pytestmark = pytest.mark.security


@pytest.fixture
def pair(server: str, tenant_factory: Callable[..., Tenant]) -> tuple[Warehouse, ...]:
    """Two warehouses with the data of the corpus."""
    mine, other = (tenant_factory(stem).warehouse for stem in ("mine", "other"))
    for statement in PREPARED:
        if statement.startswith("CREATE DATABASE"):
            continue
        try:
            client.execute([named(statement, mine.database, other.database)])
        except StatementFailed:
            assert "DICTIONARY" in statement  # a server may let no source of its own be named
    return mine, other


def _said(server: str, user: Warehouse, sql: str) -> Outcome:
    parts = urlsplit(server)
    secured = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secured else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=20)
    wanted = urllib.parse.urlencode({"database": user.database, "default_format": "TSVRaw"})
    headers = {"X-ClickHouse-User": user.username, "X-ClickHouse-Key": user.password}
    try:
        connection.request("POST", f"/?{wanted}", sql.encode(), headers)
        answer = connection.getresponse()
        try:
            said = answer.read()
        except http.client.IncompleteRead as error:  # an answer that a limit has broken off
            said = error.partial
    finally:
        connection.close()
    text = said.decode("utf-8", "replace")
    return Outcome(result=text) if answer.status == 200 else Outcome(error=text)


def _attack(server: str, pair: tuple[Warehouse, ...], tally: Tally) -> None:
    mine, other = pair
    for attack in attacks.of("sql"):
        outcome = _said(server, mine, named(attack.text, mine.database, other.database))
        tally.note("server", attack, leak(outcome))


def test_the_server_alone_shows_a_tenants_user_nothing_of_another(
    server: str, pair: tuple[Warehouse, ...], tally: Tally
) -> None:
    _attack(server, pair, tally)
    assert not tally.at("server")
    for warehouse in pair:
        rows = client.rows(
            f"SELECT count() AS c, sum(delay) AS d FROM {warehouse.database}.flights"
        )
        assert rows == [{"c": 1, "d": 5}]
    made = client.rows(
        "SELECT name FROM system.tables WHERE database = {d:String}", {"d": pair[0].database}
    )
    assert len(made) == 4


def test_a_grant_too_many_is_seen(server: str, pair: tuple[Warehouse, ...]) -> None:
    mine, other = pair
    client.execute([f"GRANT SELECT ON {other.database}.* TO {mine.username}"])
    assert CANARY in _said(server, mine, f"SELECT x FROM {other.database}.flights").text


def test_every_honest_query_works_for_a_tenants_user(
    server: str, pair: tuple[Warehouse, ...]
) -> None:
    from analytics_api.guard import check
    from analytics_api.parameters import values
    from analytics_api.query_client import Account, QueryCall, ask

    mine, other = pair
    account = Account(mine.database, mine.username, mine.password)
    tables = {"flights", "weather", "events"}
    for line in (line for name in attacks.HONEST for line in attacks.lines(name)):
        sql = named(line, mine.database, other.database)
        guarded = check(sql, tables=tables, database=mine.database, ask=client.read_only_rows)
        bound: dict[str, Any] = {one.name: values.sample(one.type) for one in guarded.parameters}
        given = {f"param_{name}": "1" if one == "0" else one for name, one in bound.items()}
        settings = tuple(guarded.settings.items())
        assert ask(account, QueryCall(guarded.sql, given, "JSON", settings=settings)).size
