from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from analytics_api.models import SavedQuery
from analytics_api.selectors.published import forget
from analytics_api.services.saved_queries import publish
from tenants.models import Tenant
from tenants.services.keys import create_key
from tenants.warehouse import client
from tests.conftest import make_table

COLUMNS = [
    {"name": "n", "type": "UInt32"},
    {"name": "who", "type": "String"},
    {"name": "price", "type": "Decimal(10, 2)"},
]


class Api:
    """A tenant with a table of four rows, a key, and calls by it."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.row, self.key = create_key(tenant, "test")
        self.client = Client(raise_request_exception=False)

    def publish(self, name: str, sql: str, **fields: Any) -> SavedQuery:
        query = SavedQuery.objects.create(tenant=self.tenant, name=name, sql=sql, **fields)
        publish(query)
        return query

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} | headers

    def get(self, path: str, **headers: str) -> Any:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(f"/api/v1/queries{path}", headers=self._headers(given))

    def post(self, path: str, body: Any, content_type: str = "application/json") -> Any:
        return self.client.post(
            f"/api/v1/queries{path}", body, content_type=content_type, headers=self._headers({})
        )


def make_api(tenant: Tenant) -> Api:
    table = make_table(tenant, COLUMNS, sorting_key=["n"])
    database = table.tenant.warehouse.database
    values = "(1, 'ann', 1.10), (2, 'bob', 2.20), (3, 'ann', 3.30), (4, 'ü\"€', 4.40)"
    client.execute([f"INSERT INTO {database}.events (n, who, price) VALUES {values}"])
    return Api(table.tenant)


@pytest.fixture
def api_factory(tenant_factory: Callable[..., Tenant]) -> Callable[..., Api]:
    """Makes tenants of a test's own, which it may change in the engine, too."""
    return lambda stem="acme": make_api(tenant_factory(stem))


@pytest.fixture
def api(api_factory: Callable[..., Api]) -> Api:
    return api_factory()


@pytest.fixture(scope="module")
def tenant_of_file(tenant_factory_of_file: Callable[..., Tenant]) -> Tenant:
    return make_api(tenant_factory_of_file()).tenant


@pytest.fixture
def shared_api(tenant_of_file: Tenant, db: None) -> Api:
    """The tenant of the file, with a key of the test's own, for a test that only reads its rows."""
    # The cache may hold a query of the test before, whose rows are gone.
    forget()
    return Api(Tenant.objects.get(pk=tenant_of_file.pk))
