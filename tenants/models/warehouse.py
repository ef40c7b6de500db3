from __future__ import annotations

from django.db import models

from tenants.crypto import EncryptedTextField
from tenants.models.provisioned import Provisioned
from tenants.models.tenant import Tenant
from tenants.scoping import ScopedManager


class Warehouse(Provisioned):
    """A tenant's ClickHouse database and the ClickHouse user that can read only it."""

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="warehouse")
    database = models.CharField(max_length=64, unique=True, editable=False)
    username = models.CharField(max_length=64, unique=True, editable=False)
    password = EncryptedTextField(editable=False)
    limits = models.JSONField(
        default=dict,
        editable=False,
        help_text="The ClickHouse settings of the user, as last applied.",
    )

    storage_bytes = models.BigIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="Bytes on ClickHouse's disks, as last measured.",
    )

    objects = ScopedManager()
    across_tenants = models.Manager()

    def __str__(self) -> str:
        return self.database
