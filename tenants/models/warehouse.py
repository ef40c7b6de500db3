from __future__ import annotations

from django.db import models

from tenants.crypto import EncryptedTextField
from tenants.models.provisioned import Provisioned
from tenants.models.tenant import Tenant


class Warehouse(Provisioned):
    """A tenant's ClickHouse database, and the ClickHouse user that may read only it."""

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="warehouse")
    database = models.CharField(max_length=64, unique=True, editable=False)
    username = models.CharField(max_length=64, unique=True, editable=False)
    password = EncryptedTextField(editable=False)
    limits = models.JSONField(
        default=dict,
        editable=False,
        help_text="ClickHouse's settings of the user, as last applied.",
    )

    def __str__(self) -> str:
        return self.database
