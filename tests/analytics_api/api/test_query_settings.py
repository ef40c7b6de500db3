"""SETTINGS at a query's end: what it asks for goes beside its text, and nothing else goes."""

from __future__ import annotations

from typing import Any

import pytest

from analytics_api.models import SavedQueryVersion
from analytics_api.selectors import published
from tenants.provisioning.warehouse import limits
from tenants.rights import Rights
from tenants.services.keys import create_key
from tenants.warehouse.statements import QUERY_SETTINGS, ROW_FILTERS

JOIN = (
    "SELECT toTypeName(b.who) AS t, b.who IS NULL AS isnull FROM numbers(1) AS a "
    "LEFT JOIN events AS b ON a.number = b.n"
)
NULLS, NONE = [{"t": "Nullable(String)", "isnull": 1}], [{"t": "String", "isnull": 0}]


def test_a_published_query_gets_the_settings_it_asks_for(api: Any) -> None:
    api.publish("nulls", f"{JOIN} SETTINGS join_use_nulls = 1")
    api.publish("none", JOIN)
    assert api.get("/nulls").json()["data"] == NULLS
    assert api.get("/none").json()["data"] == NONE
    version = SavedQueryVersion.across_tenants.get(query__name="nulls")
    assert version.engine_settings == {"join_use_nulls": "1"}
    assert "SETTINGS" not in version.sql


def test_another_setting_is_another_version(api: Any) -> None:
    query = api.publish("q", f"{JOIN} SETTINGS join_use_nulls = 1")
    query.sql = f"{JOIN} SETTINGS join_use_nulls = 0"
    query.save()
    from analytics_api.services.saved_queries import publish

    assert publish(query).number == 2
    assert publish(query).number == 2


def test_sql_of_ones_own_gets_them_too(api: Any) -> None:
    _, key = create_key(api.tenant, "sql", rights=Rights(scopes=("queries:sql",)))

    def run(sql: str) -> Any:
        return api.client.post(
            "/api/v1/sql",
            {"sql": sql},
            content_type="application/json",
            headers={"Authorization": f"Bearer {key}"},
        )

    assert run(f"{JOIN} SETTINGS join_use_nulls = 1").json()["data"] == NULLS
    assert run(JOIN).json()["data"] == NONE
    refused = run("SELECT 1 SETTINGS readonly = 0")
    assert (refused.status_code, refused.json()["reason"]) == (422, "clause_settings")


@pytest.mark.security
@pytest.mark.parametrize(
    "written", [{"readonly": "0"}, {ROW_FILTERS: "{}"}, {"max_execution_time": "0", "x": "y"}]
)
def test_what_is_written_into_a_version_past_the_guard_is_not_sent(
    written: dict[str, str], api: Any
) -> None:
    api.publish("none", JOIN)
    SavedQueryVersion.across_tenants.filter(query__name="none").update(engine_settings=written)
    published.forget()
    assert api.get("/none").json()["data"] == NONE


@pytest.mark.security
def test_a_tenants_profile_lets_these_be_brought_and_no_others() -> None:
    free = {one.name for one in limits().profile() if one.value is None}
    assert free == {ROW_FILTERS, *QUERY_SETTINGS}
    # These change what a condition says, so that a key's row filter would hold back other rows.
    assert not free & {"transform_null_in", "session_timezone", "cast_keep_nullable"}
