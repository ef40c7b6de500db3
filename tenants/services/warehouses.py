"""Requests a tenant's warehouse, and rotates the password of its user."""

from __future__ import annotations

import secrets

from django.db import transaction

from tenants.audit import record_once
from tenants.models import Tenant, Warehouse
from tenants.provisioning import password
from tenants.task_queue import send


def create_warehouse(tenant: Tenant) -> Warehouse:
    """Request the tenant's warehouse unless it has one; a task creates it after the commit."""
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
    """Provision a warehouse again now, because it failed or its limits changed."""
    with transaction.atomic():
        warehouse.request()
        transaction.on_commit(lambda: send("tenants.tasks.provision_warehouse", warehouse.pk))


def rotate_warehouse_password(warehouse: Warehouse) -> None:
    """Give the warehouse's user a new password; the reconciler removes the old one.

    Raises WarehouseError, which leaves the password as it was.
    """
    with transaction.atomic():
        password.begin(warehouse)
        record_once("warehouse.rotate", warehouse, tenant=warehouse.tenant)
