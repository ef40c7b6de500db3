"""A query of a tenant's rows that forgets its tenant raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db.models import F, Max, Model, Q
from django.test import Client

from analytics_api.models import SavedQuery
from ingestion.models import Batch, Source, StreamPartition, Table
from tenants import scoping
from tenants.models import APIKey, Tenant
from tenants.scoping import ScopedManager, TenantForgotten, across_tenants, tenant_scope
from tenants.services import keys

refuse = scoping.refuse


@pytest.fixture(autouse=True)
def _strict(_tests_look_everywhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here tests are held to it as Millrace is."""
    monkeypatch.setattr(scoping, "refuse", refuse)


@pytest.fixture
def sources(db: None) -> list[Source]:
    made = []
    for slug in ("shop", "bank"):
        tenant = Tenant.objects.create(slug=slug)
        table = Table.objects.create(tenant=tenant, name="events")
        made.append(Source.objects.create(tenant=tenant, name="events", table=table))
    return made


@pytest.mark.parametrize(
    "ask",
    [
        lambda one: list(Source.objects.all()),
        lambda one: Source.objects.get(pk=one.pk),
        lambda one: Source.objects.filter(name="events").first(),
        lambda one: Source.objects.count(),
        lambda one: Source.objects.exists(),
        lambda one: Source.objects.values_list("pk").iterator().__next__(),
        lambda one: Source.objects.in_bulk([one.pk]),
        lambda one: Source.objects.aggregate(n=Max("pk")),
        lambda one: Source.objects.update(active=False),
        lambda one: Source.objects.filter(pk=one.pk).update(active=False),
        lambda one: Source.objects.filter(pk=one.pk).delete(),
        lambda one: StreamPartition.objects.filter(source=one).delete(),
        lambda one: Source.objects.get_or_create(name="new"),
        lambda one: list(Source.objects.exclude(tenant=one.tenant)),
        lambda one: list(Source.objects.filter(~Q(tenant=one.tenant))),
        lambda one: list(Source.objects.filter(Q(tenant=one.tenant) | Q(pk=one.pk))),
        lambda one: list(Source.objects.filter(tenant=F("table__tenant"))),
        lambda one: list(Source.objects.filter(tenant__name="x")),
        lambda one: list(Source.objects.filter(tenant__gte=0)),
        lambda one: list(Source.objects.filter(tenant__isnull=False)),
        lambda one: list(Batch.objects.filter(partition__source=one)),
        lambda one: list(Tenant.objects.filter(sources__in=Source.objects.all())),
        lambda one: list(Source.across_tenants.filter(pk__in=Source.objects.values("pk"))),
        lambda one: list(Source.objects.filter(tenant=one.tenant).union(Source.objects.order_by())),
    ],
)
def test_a_query_that_forgets_its_tenant_raises(
    ask: Callable[[Source], Any], sources: list[Source]
) -> None:
    with pytest.raises(TenantForgotten, match="names no tenant"):
        ask(sources[0])
    with across_tenants():
        assert Source.objects.count() == 2


@pytest.mark.parametrize(
    "ask",
    [
        lambda one: Source.objects.filter(tenant=one.tenant),
        lambda one: Source.objects.filter(tenant_id=one.tenant_id, name="events"),
        lambda one: Source.objects.filter(tenant__in=[one.tenant_id]),
        lambda one: Source.objects.filter(tenant__slug="shop"),
        lambda one: Source.objects.filter(Q(tenant=one.tenant) | Q(tenant=None)),
        lambda one: Source.objects.for_tenant(one.tenant),
        lambda one: one.tenant.sources.all(),
        lambda one: one.table.sources.filter(name="events"),
        lambda one: Source.across_tenants.filter(pk=one.pk),
    ],
)
def test_a_query_that_names_its_tenant_has_its_rows(
    ask: Callable[[Source], Any], sources: list[Source]
) -> None:
    assert list(ask(sources[0])) == [sources[0]]
    assert ask(sources[0]).count() == 1
    assert ask(sources[0]).update(active=False) == 1


def test_a_scope_adds_the_filter_by_itself(sources: list[Source]) -> None:
    shop, bank = sources
    part = StreamPartition.objects.create(source=bank, number=0)
    with tenant_scope([shop.tenant_id]):
        assert list(Source.objects.all()) == [shop]
        assert not StreamPartition.objects.filter(pk=part.pk).exists()
        assert list(Tenant.objects.all()) == [shop.tenant]
        assert not Source.objects.filter(pk=bank.pk).update(active=False)
        with tenant_scope([]):
            assert not Source.objects.exists()
        with across_tenants():
            assert Source.objects.count() == 2
        assert Source.objects.count() == 1
    with pytest.raises(TenantForgotten):
        Source.objects.count()


def test_what_starts_from_an_object_needs_no_scope(sources: list[Source]) -> None:
    source = Source.across_tenants.select_related(None).get(pk=sources[0].pk)
    assert source.table.tenant == source.tenant
    source.refresh_from_db()
    source.save()
    source.delete()


#: What names a tenant and is none of its rows.
EXEMPT = {
    "tenants.Tenant": "is the tenant; a scope narrows it all the same",
}


def _leads_to_tenant(model: type[Model], seen: frozenset[type[Model]] = frozenset()) -> bool:
    if model._meta.label == "tenants.Tenant":
        return True
    ways = [one.related_model for one in model._meta.fields if one.is_relation]
    return any(
        _leads_to_tenant(one, seen | {model})
        for one in ways
        if isinstance(one, type) and one not in seen
    )


def test_every_model_below_a_tenant_wants_it_named(sources: list[Source]) -> None:
    found = [one for one in apps.get_models() if _leads_to_tenant(one)]
    assert {SavedQuery, APIKey, Source, Batch} <= set(found)
    for model in found:
        if model._meta.label in EXEMPT:
            continue
        objects: Any = model._default_manager
        assert isinstance(objects, ScopedManager), f"{model._meta.label} has no ScopedManager"
        with pytest.raises(TenantForgotten):
            objects.exists()
        assert not objects.for_tenant(0).exists()
        with tenant_scope([0]):
            assert not objects.exists()
        assert not isinstance(model._base_manager, ScopedManager)


def test_forgetting_it_in_a_view_is_an_error_and_no_leak(
    sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a filter is taken out of the API's own look-up."""
    from ingestion.api import sources as api

    def own_source(tenant_id: int, name: str) -> Source:
        return Source.objects.get(name=name)

    monkeypatch.setattr(api, "own_source", own_source)
    _, text = keys.create_key(sources[0].tenant, "k", scopes=["manage"])
    answer = Client(raise_request_exception=False).get(
        "/api/v1/sources/events", headers={"Authorization": f"Bearer {text}"}
    )
    assert answer.status_code == 500
    assert b"bank" not in answer.content
