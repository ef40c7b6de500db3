"""A limit that a query reaches is called a limit, whatever reaches it and however it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from analytics_api.query_client.query_call import _session
from tenants.models import Scope, Warehouse
from tenants.provisioning.warehouse import provision
from tenants.services.keys import create_key

MEMORY = {"MILLRACE_QUERY_MEMORY_BYTES": 60_000_000}
SECONDS = {"MILLRACE_QUERY_SECONDS": 1, "MILLRACE_QUERY_READ_ROWS": 10**15}
FORMATS = ("json", "csv", "ndjson", "parquet", "arrow")

#: What is limited, a query beyond it, the status, and how the answer calls the limit.
BEYOND = [
    (MEMORY, "SELECT number, count() AS c FROM numbers(50000000) GROUP BY number", 422, "memory"),
    (
        MEMORY,
        "SELECT number, count() AS c FROM numbers(50000000) GROUP BY number ORDER BY c LIMIT 9",
        422,
        "memory",
    ),
    (MEMORY, "SELECT number AS n FROM numbers(50000000) ORDER BY cityHash64(n)", 422, "memory"),
    (MEMORY, "SELECT length(groupArray(number)) AS n FROM numbers(50000000)", 422, "memory"),
    (MEMORY, "SELECT uniqExact(number) AS n FROM numbers(50000000)", 422, "memory"),
    (
        MEMORY,
        "SELECT count() AS n FROM (SELECT DISTINCT number FROM numbers(50000000))",
        422,
        "memory",
    ),
    (
        MEMORY,
        "SELECT count() AS n FROM numbers(50000000) AS a JOIN numbers(50000000) AS b USING number",
        422,
        "memory",
    ),
    (
        MEMORY,
        "SELECT sum(number) OVER (PARTITION BY number % 3) AS s FROM numbers(50000000)",
        422,
        "memory",
    ),
    (
        {"MILLRACE_QUERY_READ_ROWS": 100_000},
        "SELECT max(number) AS n FROM numbers(100000000000)",
        422,
        "rows read",
    ),
    (
        {"MILLRACE_QUERY_READ_BYTES": 100_000},
        "SELECT max(number) AS n FROM numbers(10000000)",
        422,
        "bytes",
    ),
    # No other test has this text, whose tree has more lines than its result may have rows.
    ({"MILLRACE_QUERY_RESULT_ROWS": 10}, "SELECT number AS row FROM numbers(1000000)", 422, "rows"),
    (
        {"MILLRACE_QUERY_RESULT_BYTES": 100_000},
        "SELECT number AS n FROM numbers(1000000)",
        422,
        "bytes of the result",
    ),
    (SECONDS, "SELECT max(sqrt(number)) AS n FROM numbers(1000000000000)", 504, "seconds"),
    (
        SECONDS,
        "SELECT number % 9 AS n, count() AS c FROM numbers(1000000000000) GROUP BY n ORDER BY n",
        504,
        "seconds",
    ),
    (
        SECONDS,
        "SELECT number AS n FROM numbers(1000000000000) WHERE cityHash64(number) = 7",
        504,
        "seconds",
    ),
]


@pytest.fixture
def limited(api: Any, settings: Any) -> Iterator[Callable[[dict[str, int]], Any]]:
    """The tenant's calls and its user in ClickHouse with other limits."""

    def change(limits: dict[str, int]) -> Any:
        for name, value in limits.items():
            setattr(settings, name, value)
        _session.cache_clear()
        provision(Warehouse.objects.get(tenant=api.tenant))
        return api

    yield change
    _session.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize(("limits", "sql", "status", "words"), BEYOND)
def test_what_goes_beyond_is_a_limit_in_every_format(
    limits: dict[str, int],
    sql: str,
    status: int,
    words: str,
    limited: Callable[[dict[str, int]], Any],
) -> None:
    api = limited(limits)
    api.publish("much", sql)
    _, key = create_key(api.tenant, "sql", scopes=[Scope.QUERIES_SQL])
    # Each of these keeps the engine's processors busy until its time is over.
    formats = FORMATS if limits is not SECONDS else FORMATS[::3]
    answers = [api.get(f"/much?format={one}") for one in formats]
    own = {"Authorization": f"Bearer {key}"}
    answers.append(api.client.post("/api/v1/sql", {"sql": sql}, "application/json", headers=own))
    for answer in answers:
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (status, "limit"), problem
        assert words in problem["limit"]
        assert "ACCESS_DENIED" not in answer.content.decode()
