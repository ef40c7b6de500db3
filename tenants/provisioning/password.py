"""Rotates the password of a warehouse's user without failing any call.

1. ClickHouse adds the new password beside the old one.
2. The new password is stored, together with a request to provision the warehouse again OVERLAP from
   now. By then no process remembers the old password.
3. Provisioning leaves the user only the stored password. ``finish`` does it, or else the
   reconciler.

If it is killed before step 2, the next provisioning removes the new password; after step 2, the old
one.
"""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from tenants.models import ProvisionState, Warehouse
from tenants.provisioning.warehouse import provision
from tenants.warehouse import client, statements
from tenants.warehouse.errors import StatementFailed, WarehouseError

#: How long both passwords are valid; processes remember a password for half a second.
OVERLAP = timedelta(seconds=5)
_SYNTAX_ERROR = 62


class RotationRefused(WarehouseError):
    """The password did not change. The text says why and what to do."""


def begin(warehouse: Warehouse) -> None:
    """Steps 1 and 2. Raises WarehouseError, after which the old password stays valid."""
    with transaction.atomic():
        row = Warehouse.across_tenants.select_for_update().get(pk=warehouse.pk)
        if not row.applied:
            msg = f"The warehouse {row} does not exist yet. Wait until it is ready."
            raise RotationRefused(msg)
        password = secrets.token_urlsafe(32)
        _add(row, password)
        Warehouse.across_tenants.filter(pk=row.pk).update(
            password=password,
            generation=F("generation") + 1,
            state=ProvisionState.PENDING,
            attempts=0,
            retry_at=timezone.now() + OVERLAP,
        )
    warehouse.refresh_from_db()


def _add(row: Warehouse, password: str) -> None:
    cluster = settings.CLICKHOUSE_CLUSTER
    try:
        client.execute(statements.add_password(row.username, password, cluster=cluster))
    except StatementFailed as error:
        if error.code != _SYNTAX_ERROR:
            raise
        msg = (
            "This ClickHouse supports only one password per user. Rotating needs version 24.9 or "
            "later."
        )
        raise RotationRefused(msg) from error


def finish(warehouse: Warehouse) -> None:
    """Step 3, unless it is already done. Raises WarehouseError."""
    warehouse.refresh_from_db()
    if warehouse.applied != warehouse.generation:
        provision(warehouse)
    if warehouse.state == ProvisionState.FAILED:
        msg = f"The old password of {warehouse} is still valid: {warehouse.error}"
        raise WarehouseError(msg)
