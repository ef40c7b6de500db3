"""What can be done with tenants. Views, admin and commands call these, and decide nothing."""

from __future__ import annotations

import secrets

from django.db import transaction

from tenants import tasks
from tenants.models import Tenant, Warehouse


def create_warehouse(tenant: Tenant) -> Warehouse:
    """Ask for the tenant's warehouse, where it has none yet; it is made after the commit."""
    with transaction.atomic():
        warehouse, _ = Warehouse.objects.get_or_create(
            tenant=tenant,
            defaults={
                "database": f"t_{tenant.slug}",
                "username": f"t_{tenant.slug}",
                "password": secrets.token_urlsafe(32),
            },
        )
        transaction.on_commit(lambda: tasks.send(tasks.provision_warehouse, warehouse.pk))
    return warehouse


def retry_warehouse(warehouse: Warehouse) -> None:
    """Ask again, at once, for a warehouse that failed."""
    with transaction.atomic():
        warehouse.request()
        transaction.on_commit(lambda: tasks.send(tasks.provision_warehouse, warehouse.pk))
