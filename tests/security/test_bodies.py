"""Every address that reads a body refuses, by name and with one set of codes, what it can't be.

The addresses are those of Django's own list and of the OpenAPI description: one that is new fails
here until BODIES has a body that it takes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.test import Client

from ingestion.models import Connection, Source
from millrace.isolation.routes import PUBLIC, SAFE, routes
from tenants.exact_json import MAX_DEPTH
from tenants.models import Scope
from tenants.services import keys
from tenants.services.operator_keys import create_operator_key
from tenants.warehouse import client as warehouse
from tools.reference.api import description

pytestmark = pytest.mark.security

#: Their bodies are data: what they may be, tests/ingestion/api say, in test_events.py and
#: test_backfills_api.py.
DATA = {"send_events", "upload_backfill"}
#: A body that each operation takes, and that ends nothing that the next one needs.
BODIES: dict[str, dict[str, Any]] = {
    "archive_connection": {"preview": True},
    "archive_source": {"preview": True},
    "archive_table": {"preview": True},
    "cancel_backfill": {"run": 1},
    "create_key": {"name": "another", "scopes": ["queries:run"]},
    "delete_connection": {"preview": True, "rows": "delete"},
    "delete_source": {"preview": True, "rows": "delete"},
    "delete_table": {"preview": True},
    "discard_quarantine": {"preview": True},
    "drop_kept_column": {"column": "n", "confirm": "n"},
    "erase_person": {"column": "who", "value": "ann"},
    "infer_table": {"sample": '{"n": 1}'},
    "limit_tenant": {"weight": 7},
    "make_tenant": {"slug": "made_by_a_body"},
    "replay_quarantine": {"dry_run": True, "repair": "trim(raw)"},
    "reset_source": {"to": "start"},
    "resume_backfill": {"run": 1},
    "rotate_key": {"overlap_seconds": 60},
    "run_query_with_body": {"least": 1},
    "start_backfill": {"locations": ["https://example.com/a.csv"]},
    "run_sql": {"sql": "SELECT n FROM events WHERE n > {least:UInt32}", "parameters": {"least": 1}},
}
UNKNOWN = "preveiw"
MEMBERS = {"unknown_member", "parameters"}
#: A body that is none, how it is sent, and the answer to it.
UNREADABLE: dict[str, tuple[bytes, dict[str, Any], int, str]] = {
    "no JSON": (b'{"a": 1', {}, 400, "body_unreadable"),
    "no UTF-8": (b'{"a": "\xff"}', {}, 400, "body_unreadable"),
    "no number": (b'{"a": NaN}', {}, 400, "body_unreadable"),
    "two documents": (b"{} {}", {}, 400, "body_unreadable"),
    "too deep": (b'{"a":' * MAX_DEPTH + b"{}" + b"}" * MAX_DEPTH, {}, 400, "body_unreadable"),
    "far too deep": (b"[" * 100_000, {}, 400, "body_unreadable"),
    "a member twice": (b'{"preview": true, "preview": false}', {}, 400, "doubled_member"),
    "a member twice, within": (b'{"a": [{"b": 1, "b": 1}]}', {}, 400, "doubled_member"),
    "an array": (b"[]", {}, 400, "parameter_invalid"),
    "nothing": (b"null", {}, 400, "parameter_invalid"),
    "a form": (
        b"preview=true",
        {"content_type": "application/x-www-form-urlencoded"},
        415,
        "unsupported_media_type",
    ),
    "no type": (b"{}", {"content_type": ""}, 415, "unsupported_media_type"),
    "packed": (b"\x1f\x8b", {"HTTP_CONTENT_ENCODING": "gzip"}, 415, "encoding_unknown"),
    "in chunks": (b"", {"HTTP_TRANSFER_ENCODING": "chunked"}, 411, "length_required"),
    "too large": (b" " * 2_000 + b"{}", {}, 413, "body_too_large"),
}


class Addresses:
    """A tenant with something at every address, and calls by keys that may do everything."""

    def __init__(self, api: Any) -> None:
        tenant = api.tenant
        self.client = Client(raise_request_exception=False)
        row, self.key = keys.create_key(tenant, "all", scopes=list(Scope.values))
        self.operator = create_operator_key("test")[1]
        api.publish("above", "SELECT n FROM events WHERE n > {least:UInt32}")
        Source.objects.create(tenant=tenant, name="inlet", table=tenant.tables.get(name="events"))
        Connection.objects.create(tenant=tenant, name="wire", kind="kafka", addresses="none:1")
        self.names = {
            "/api/v1/queries/{name}": "above",
            "/api/v1/sources/{name}": "inlet",
            "/api/v1/tables/{name}": "events",
            "/api/v1/connections/{name}": "wire",
            "/api/v1/keys/{prefix}": row.prefix,
            "/api/v1/tenants/{slug}": tenant.slug,
        }
        self.database = tenant.warehouse.database

    def call(self, method: str, path: str, body: Any, **how: Any) -> Any:
        for pattern, name in self.names.items():
            if path.startswith(pattern):
                path = path.replace(pattern, pattern.partition("{")[0] + name)
        assert "{" not in path, "say what stands there"
        key = self.operator if path.startswith("/api/v1/tenants") else self.key
        how = {"content_type": "application/json"} | how
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.generic(
            method.upper(), path, sent, headers={"Authorization": f"Bearer {key}"}, **how
        )

    def state(self) -> list[Any]:
        """All that Postgres has but what counts calls, and the tenant's rows."""
        models = [
            model
            for app in ("tenants", "ingestion", "analytics_api")
            for model in apps.get_app_config(app).get_models()
            if not model.__name__.startswith("Usage")
        ]
        rows: list[Any] = [
            (
                model.__name__,
                [
                    {name: value for name, value in row.items() if name != "last_used_at"}
                    for row in model._base_manager.order_by("pk").values()
                ],
            )
            for model in models
        ]
        return [*rows, warehouse.rows(f"SELECT * FROM {self.database}.events ORDER BY n")]


@pytest.fixture
def addresses(server: str, api: Any) -> Addresses:
    return Addresses(api)


def operations() -> dict[str, tuple[str, str, bool]]:
    """Those that are no reading, by id: method, path, and whether a body is described."""
    return {
        one["operationId"]: (method, path, "requestBody" in one)
        for path, methods in description()["paths"].items()
        for method, one in methods.items()
        if method.upper() not in SAFE and one["operationId"] not in DATA
    }


def _problem(answer: Any, what: str) -> dict[str, Any]:
    assert answer["Content-Type"] == "application/problem+json", (what, answer.content)
    found: dict[str, Any] = answer.json()
    return found


def test_every_address_is_described_and_has_a_body_here(db: None) -> None:
    described = {
        (re.sub(r"{\w+}", "…", path).strip("/"), method.upper())
        for path, methods in description()["paths"].items()
        for method in methods
        if method.upper() not in SAFE
    }
    known = {
        (re.sub(r"<[^>]+>", "…", one.pattern), method)
        for one in routes()
        for method in one.methods
        if method not in SAFE and one.name not in PUBLIC
    }
    assert known == described
    assert {name for name, (_, _, takes) in operations().items() if takes} == set(BODIES)


def test_an_unknown_member_is_refused_by_name_and_nothing_changes(addresses: Addresses) -> None:
    before = addresses.state()
    for name, (method, path, _) in operations().items():
        body = BODIES.get(name, {}) | {UNKNOWN: True}
        answer = addresses.call(method, path, body)
        problem = _problem(answer, name)
        assert answer.status_code in (400, 422), (name, problem)
        assert problem["code"] in MEMBERS, (name, problem)
        assert UNKNOWN in json.dumps(problem), (name, problem)
    assert addresses.state() == before


def test_what_is_no_body_has_one_code_everywhere_and_changes_nothing(
    addresses: Addresses, settings: Any
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_500
    deep = UNREADABLE["far too deep"]
    settings_apart = {"far too deep": (deep[0][:1_400], *deep[1:])}
    before = addresses.state()
    for name, (method, path, _) in operations().items():
        for what, (body, how, status, code) in (UNREADABLE | settings_apart).items():
            answer = addresses.call(method, path, body, **how)
            problem = _problem(answer, f"{name}: {what}")
            assert (answer.status_code, problem["code"]) == (status, code), (name, what, problem)
    assert addresses.state() == before


@pytest.mark.parametrize("name", BODIES)
def test_the_body_without_it_is_taken(
    name: str, addresses: Addresses, unique: Callable[[str], str]
) -> None:
    method, path, _ = operations()[name]
    body = BODIES[name] | ({"slug": unique("made")} if name == "make_tenant" else {})
    answer = addresses.call(method, path, body)
    # Of a column that is described, that it can't be dropped is the right answer, and of a run that
    # there is not, that it isn't there.
    others = {"drop_kept_column": 409, "cancel_backfill": 404, "resume_backfill": 404}
    expected = (others[name],) if name in others else (200, 201)
    assert answer.status_code in expected, (name, getattr(answer, "content", b""))
