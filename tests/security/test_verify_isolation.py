"""``manage.py verify_isolation``: it passes, sees what is taken away, and tidies up."""

from __future__ import annotations

import fcntl
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from analytics_api.models import SavedQuery
from analytics_api.selectors import published
from ingestion.api import inference, kept_columns, removal, sources
from ingestion.models import Connection, Source, Table
from millrace.embedded.pytest_plugin import HOME
from millrace.isolation import planted
from millrace.isolation import routes as isolation_routes
from millrace.isolation.calling import Within
from millrace.isolation.leak_check import Verification
from millrace.isolation.planted import Planted
from millrace.management.commands import verify_isolation
from tenants.models import APIKey, Tenant, TenantStatus, Warehouse
from tenants.plans import allowance
from tenants.selectors import callers
from tenants.warehouse import client
from tests.security.conftest import real_server

pytestmark = [pytest.mark.security, pytest.mark.django_db]

_COUNTED = (Tenant, Warehouse, Connection, Table, Source, SavedQuery, APIKey)


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """One test at a time: xdist's processes share the engine, whose databases are counted."""
    with (HOME / "isolation.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(autouse=True)
def _caches_last(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is cached for one caller meets all others, also where calls take long.

    And who calls is looked up once, not before every second call.
    """
    cached = (callers, allowance, published)
    for each in cached:
        each.forget()
        monkeypatch.setattr(each._recent, "seconds", 600)
    yield
    for each in cached:
        each.forget()


def _verify(*arguments: str) -> str:
    out = io.StringIO()
    call_command("verify_isolation", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def _failures() -> str:
    out = io.StringIO()
    with pytest.raises(CommandError, match="failures in"):
        call_command("verify_isolation", stdout=out, stderr=out)
    return out.getvalue()


@pytest.fixture(scope="module")
def planted_for_all(
    rows_of_file: None, clickhouse_server: str
) -> Iterator[tuple[list[Planted], Planted]]:
    """What the command plants, for all tests that take something away: two tenants and an idle one.

    Nothing that they call deletes any of it in the engine: a deletion needs a name to confirm it.
    """
    with real_server(), planted.throw_away(3) as tenants, planted.planted(tenants) as made:
        Tenant.objects.filter(pk=tenants[-1].pk).update(status=TenantStatus.SUSPENDED)
        yield made[:-1], made[-1]


def _failures_of(active: list[Planted], idle: Planted) -> list[str]:
    everybody = [replace(each, keys=[]) for each in (*active, idle)]
    verification = Verification(Within(), everybody[:-1], everybody[-1:])
    return verification.run(verify_isolation.routes()).failures


def _left() -> list[int]:
    databases = client.rows(
        "SELECT count() AS c FROM system.databases WHERE name LIKE 't\\_isolation%'"
    )
    return [model.objects.count() for model in _COUNTED] + [databases[0]["c"]]


def test_it_passes_and_leaves_nothing_behind(server: str) -> None:
    before = _left()
    said = _verify()
    assert "no tenant saw another tenant's data" in said
    assert "GET /api/v1/queries/<str:name>" in said
    assert _left() == before


def test_it_passes_for_tenants_that_are_there(
    server: str, tenant_factory: Callable[..., Tenant], monkeypatch: pytest.MonkeyPatch
) -> None:
    _only(monkeypatch, "query")
    one, two = tenant_factory("one"), tenant_factory("two")
    before = _left()
    assert "no tenant saw" in _verify(one.slug, two.slug)
    assert _left() == before
    with pytest.raises(CommandError, match="two or more"):
        _verify(one.slug)
    with pytest.raises(CommandError, match="There is no tenant nobody"):
        _verify(one.slug, "nobody")


def _only(patched: pytest.MonkeyPatch, *names: str) -> None:
    """Some endpoints will do, to be quick."""
    # Now, before anything is taken away: a view that is imported while a function is replaced
    # would keep the replacement for all later tests.
    chosen = [one for one in isolation_routes.routes() if one.name in names]
    patched.setattr(verify_isolation, "routes", lambda: chosen)


def _query_of_anybody(patched: pytest.MonkeyPatch) -> None:
    def look_up(_: int, name: str) -> Any:
        rows = SavedQuery.objects.filter(name=name).exclude(published=None).order_by("-pk")
        return next(iter(published._load(rows.select_related("published"))), None)

    patched.setattr(published, "_look_up", look_up)


def _list_of_everybody(patched: pytest.MonkeyPatch) -> None:
    rows = SavedQuery.objects.exclude(published=None).select_related("published")
    patched.setattr(published, "all_published", lambda _: published._load(rows.all()))


def _source_of_anybody(patched: pytest.MonkeyPatch) -> None:
    def own_source(_: int, name: str) -> Source:
        found = Source.objects.filter(name=name).order_by("-pk").first()
        if found is None:
            raise sources.not_found("There is no source of that name.")
        return found

    for module in (sources, inference):
        patched.setattr(module, "own_source", own_source)


def _table_of_anybody(patched: pytest.MonkeyPatch) -> None:
    def own(model: Any, _: Any, name: str) -> Any:
        found = model.across_tenants.filter(name=name).order_by("-pk").first()
        if found is None:
            raise sources.not_found(f"There is no {model._meta.verbose_name} of that name.")
        return found

    for module in (removal, kept_columns, inference):
        patched.setattr(module, "own", own)


def _cache_by_name_alone(patched: pytest.MonkeyPatch) -> None:
    get = published._recent.get
    patched.setattr(published._recent, "get", lambda key, look_up: get((0, key[1]), look_up))


def _another_word_for_what_is_anothers(patched: pytest.MonkeyPatch) -> None:
    look_up = published._look_up

    def telling(tenant_id: int, name: str) -> Any:
        if look_up(tenant_id, name) is None and SavedQuery.objects.filter(name=name).exists():
            raise sources.Problem(404, "not_found", "There is no published query of the name.")
        return look_up(tenant_id, name)

    patched.setattr(published, "_look_up", telling)


def _expired_keys_that_open(patched: pytest.MonkeyPatch) -> None:
    caller = callers._caller
    patched.setattr(APIKey, "is_usable", lambda *_: True)
    patched.setattr(callers, "_caller", lambda key: replace(caller(key), expires_at=None))


def _suspended_tenants_that_are_served(patched: pytest.MonkeyPatch) -> None:
    caller = callers._caller
    patched.setattr(callers, "_caller", lambda key: replace(caller(key), is_active=True))


@pytest.mark.parametrize(
    ("take_away", "route", "says"),
    [
        (_query_of_anybody, "query", "GET /api/v1/queries/<str:name>"),
        (_list_of_everybody, "queries", "GET /api/v1/queries"),
        (_source_of_anybody, "source", "/api/v1/sources/<str:name>"),
        (_table_of_anybody, "delete-table", "/api/v1/tables/<str:name>/delete"),
        (_table_of_anybody, "kept-columns", "/api/v1/tables/<str:name>/kept-columns"),
        (_table_of_anybody, "archive-connection", "/api/v1/connections/<str:name>/archive"),
        (_source_of_anybody, "infer", "another tenant has a source"),
        (_table_of_anybody, "infer", "another tenant has a connection"),
        (_cache_by_name_alone, "query", "/api/v1/queries/<str:name>"),
        (_another_word_for_what_is_anothers, "query", "reveals that another tenant has an object"),
        (_expired_keys_that_open, "queries", "an expired key"),
        (_suspended_tenants_that_are_served, "queries", "of a suspended tenant"),
    ],
)
def test_it_fails_where_a_tenants_filter_is_taken_away(
    take_away: Callable[[pytest.MonkeyPatch], None],
    route: str,
    says: str,
    planted_for_all: tuple[list[Planted], Planted],
    server: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    active, idle = planted_for_all
    with monkeypatch.context() as patched:
        _only(patched, route)
        take_away(patched)
        found = _failures_of(active, idle)
    published.forget()
    assert any(says in failure for failure in found)


def test_an_endpoint_that_nobody_knows_how_to_call_is_a_failure(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def view(request: HttpRequest, thing: int) -> HttpResponse:
        return JsonResponse({})

    new = path("api/v1/things/<int:thing>", view)
    known = isolation_routes.get_resolver().url_patterns

    class Resolver:
        url_patterns = [*known, new]

    monkeypatch.setattr(isolation_routes, "get_resolver", Resolver)
    _only(monkeypatch, "queries", "")
    assert "api/v1/things/<int:thing> is not covered" in _failures()
