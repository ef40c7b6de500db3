"""What can be done with tenants. Views, admin and commands call these, and decide nothing."""

from __future__ import annotations

import secrets

from django.contrib.auth.models import User
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


def rotate_warehouse_password(warehouse: Warehouse) -> None:
    """Give the warehouse's user a new password; the old one ends with the next reconciling.

    Raises WarehouseError, and then the password is as it was.
    """
    from tenants.audit import record_once
    from tenants.warehouse import rotation

    with transaction.atomic():
        rotation.begin(warehouse)
        record_once("warehouse.rotate", warehouse, tenant=warehouse.tenant)


def let_in(member: User) -> None:
    """Let a member log in to the admin, where their role says what they see."""
    if not member.is_staff:
        member.is_staff = True
        member.save(update_fields=["is_staff"])
