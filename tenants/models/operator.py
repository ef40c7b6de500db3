from __future__ import annotations

from datetime import datetime

from django.db import models


class OperatorKey(models.Model):
    """A key of the platform's operators, who create, suspend and delete tenants over the API.

    It belongs to no tenant and gives no access to a tenant's endpoints. A tenant's key gives no
    access to the operators' endpoints: each kind is looked up in its own table, by a hash of its
    own form.
    """

    name = models.CharField(max_length=100, help_text="Who or what uses this key.")
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    sha256 = models.BinaryField(max_length=32, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.name} (op_mr_{self.prefix}…)"

    def is_usable(self, now: datetime) -> bool:
        """Whether the key is neither revoked nor expired at ``now``."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)
