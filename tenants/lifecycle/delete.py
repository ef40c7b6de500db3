"""Deletes a tenant from every store, and counts its data before and after.

The order makes it safe to repeat after a crash anywhere. The status ``deleting`` is committed
first; from then on nothing is consumed and callers are refused. The rows in Postgres go last,
because they say what the other stores hold. The stores are emptied even if the slug has no row.
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
    """The result for one store: counts before and after, and what must be removed by hand."""

    store: str
    before: Mapping[str, int]
    after: Mapping[str, int]
    left: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not any(self.after.values())


@dataclass(frozen=True, slots=True)
class DeleteReport:
    """The result for all stores.

    ``exports``: folders of exported data, which stay. ``done``: nothing is left in any store.
    """

    slug: str
    stores: tuple[Emptied, ...] = ()
    exports: tuple[str, ...] = field(default=())

    @property
    def done(self) -> bool:
        return all(store.is_empty for store in self.stores)


def stores() -> list[Store]:
    """All stores in the order of deletion; Postgres, which knows about the others, is last."""
    return [*registry.stores, WarehouseStore(), Cache(), PostgresRows()]


def preview(slug: str) -> DeleteReport:
    """What a deletion would remove; changes nothing."""
    doomed = _doomed(slug)
    counted = [(store.name, store.count(doomed)) for store in stores()]
    unchanged = tuple(Emptied(name, counts, counts) for name, counts in counted)
    return DeleteReport(slug, unchanged, exports_of(slug))


def delete(slug: str, confirmation: str) -> DeleteReport:
    """Permanently remove all of the tenant's data.

    Raises TenantNotConfirmed unless ``confirmation`` is the slug, StillBusy if a worker does not
    release the tenant, and WarehouseError if ClickHouse does not answer. After each of them it is
    safe to repeat the call, and the tenant stays closed.
    """
    if confirmation != slug:
        msg = f"Nothing was deleted. To delete {slug}, type its slug as the confirmation."
        raise TenantNotConfirmed(msg)
    _mark(slug)
    doomed = _doomed(slug)
    for store in stores():
        store.settle(doomed)
    before = {store.name: store.count(doomed) for store in stores()}
    left = {store.name: tuple(store.remove(doomed)) for store in stores()}
    after = _swept(doomed)
    log.info("Tenant %s was deleted.", slug)
    if any(before[PostgresRows.name].values()):
        record("tenant.delete", None, tenant=None, detail={"slug": slug, "before": before})
    emptied = tuple(Emptied(name, before[name], after[name], left[name]) for name in before)
    return DeleteReport(slug, emptied, exports_of(slug))


def _swept(doomed: Doomed) -> dict[str, Mapping[str, int]]:
    """The counts after removal. Also removes what a running task has written meanwhile."""
    after = {}
    for store in stores():
        counts = store.count(doomed)
        if any(counts.values()):
            store.remove(doomed)
            counts = store.count(doomed)
        after[store.name] = counts
    return after


@transaction.atomic
def _mark(slug: str) -> None:
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is not None:
        Tenant.objects.filter(pk=tenant.pk).update(status=TenantStatus.DELETING)
        record("tenant.delete.begin", tenant, tenant=tenant)


def _doomed(slug: str) -> Doomed:
    """The tenant, or what one with this slug would have; raises TenantRefused for a bad slug."""
    try:
        slug_validator(slug)
    except ValidationError as error:
        msg = f"{slug!r} is not a valid slug of a tenant."
        raise TenantRefused(msg) from error
    warehouse = Warehouse.objects.filter(tenant__slug=slug).first()
    pk = Tenant.objects.filter(slug=slug).values_list("pk", flat=True).first() or 0
    usual = f"t_{slug}"
    if warehouse is None:
        return Doomed(pk, slug, usual, usual)
    return Doomed(pk, slug, warehouse.database, warehouse.username)
