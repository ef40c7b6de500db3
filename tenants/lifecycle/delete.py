"""Deleting a tenant: all of it in every store, with counts before and after.

The order makes it safe to repeat after a crash anywhere: the mark ``deleting`` is committed first
(from then on nothing is consumed, and callers are refused), Postgres' rows go last, since they say
what there is elsewhere. A slug without a row is swept all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.core.exceptions import ValidationError
from django.db import transaction

from tenants.audit import record
from tenants.errors import TenantNotConfirmed, TenantRefused
from tenants.lifecycle import registry
from tenants.lifecycle.cache import Cache
from tenants.lifecycle.postgres_rows import PostgresRows
from tenants.lifecycle.registry import Doomed, Store
from tenants.lifecycle.tenant_export import exports_of
from tenants.lifecycle.warehouse_store import WarehouseStore
from tenants.models import Tenant, TenantStatus, Warehouse, slug_validator

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Emptied:
    """Of one store: what there was, what there is now, and what had to be left to somebody."""

    store: str
    before: Mapping[str, int]
    after: Mapping[str, int]
    left: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not any(self.after.values())


@dataclass(frozen=True, slots=True)
class DeleteReport:
    """``exports``: folders of exported data, which stay. ``done``: nothing is left in any store."""

    slug: str
    stores: tuple[Emptied, ...] = ()
    exports: tuple[str, ...] = field(default=())

    @property
    def done(self) -> bool:
        return all(one.is_empty for one in self.stores)


def stores() -> list[Store]:
    """In the order in which they are emptied: Postgres, which knows of the rest, is last."""
    return [*registry.stores, WarehouseStore(), Cache(), PostgresRows()]


def preview(slug: str) -> DeleteReport:
    """What a deletion would remove. It changes nothing."""
    doomed = _doomed(slug)
    counted = [(one.name, one.count(doomed)) for one in stores()]
    found = tuple(Emptied(name, there, there) for name, there in counted)
    return DeleteReport(slug, found, exports_of(slug))


def delete(slug: str, confirmation: str) -> DeleteReport:
    """Remove everything of the tenant's, for good.

    Raises TenantNotConfirmed unless ``confirmation`` is the slug, StillBusy where a worker does not
    let go, WarehouseError where ClickHouse does not answer; after each of them it is safe to
    repeat, and the tenant stays closed.
    """
    if confirmation != slug:
        msg = f"To delete {slug}, type its slug as the confirmation. Nothing was deleted."
        raise TenantNotConfirmed(msg)
    _mark(slug)
    doomed = _doomed(slug)
    for one in stores():
        one.settle(doomed)
    before = {one.name: one.count(doomed) for one in stores()}
    left = {one.name: tuple(one.remove(doomed)) for one in stores()}
    after = _swept(doomed)
    log.info("Tenant %s was deleted.", slug)
    if any(before[PostgresRows.name].values()):
        record("tenant.delete", None, tenant=None, detail={"slug": slug, "before": before})
    found = tuple(Emptied(name, before[name], after[name], left[name]) for name in before)
    return DeleteReport(slug, found, exports_of(slug))


def _swept(doomed: Doomed) -> dict[str, Mapping[str, int]]:
    """What is there now; what came in between, by a task that was under way, is removed too."""
    after = {}
    for one in stores():
        counted = one.count(doomed)
        if any(counted.values()):
            one.remove(doomed)
            counted = one.count(doomed)
        after[one.name] = counted
    return after


@transaction.atomic
def _mark(slug: str) -> None:
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is not None:
        Tenant.objects.filter(pk=tenant.pk).update(status=TenantStatus.DELETING)
        record("tenant.delete.begin", tenant, tenant=tenant)


def _doomed(slug: str) -> Doomed:
    """The tenant, or what one of that slug would have had; raises TenantRefused for no slug."""
    try:
        slug_validator(slug)
    except ValidationError as error:
        msg = f"{slug!r} is no tenant's slug."
        raise TenantRefused(msg) from error
    warehouse = Warehouse.objects.filter(tenant__slug=slug).first()
    pk = Tenant.objects.filter(slug=slug).values_list("pk", flat=True).first() or 0
    named = f"t_{slug}"
    if warehouse is None:
        return Doomed(pk, slug, named, named)
    return Doomed(pk, slug, warehouse.database, warehouse.username)
