"""Asking for a tenant's warehouse, and for a new password of it."""

from __future__ import annotations

import secrets

from django.db import transaction

from tenants.audit import record_once
from tenants.models import Tenant, Warehouse
from tenants.provisioning import password
from tenants.task_queue import send


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
        transaction.on_commit(lambda: send("tenants.tasks.provision_warehouse", warehouse.pk))
    return warehouse


def retry_warehouse(warehouse: Warehouse) -> None:
    """Ask again, at once, for a warehouse that failed, or that is to have other limits."""
    with transaction.atomic():
        warehouse.request()
        transaction.on_commit(lambda: send("tenants.tasks.provision_warehouse", warehouse.pk))


def rotate_warehouse_password(warehouse: Warehouse) -> None:
    """Give the warehouse's user a new password; the old one ends with the next reconciling.

    Raises WarehouseError, and then the password is as it was.
    """
    with transaction.atomic():
        password.begin(warehouse)
        record_once("warehouse.rotate", warehouse, tenant=warehouse.tenant)
