from __future__ import annotations

from typing import Any, NoReturn

from django.db import models

from tenants.models.tenant import Tenant
from tenants.scoping import ScopedManager, ScopedQuerySet


class AppendOnly(Exception):
    """Entries of the audit log can't be changed or deleted."""


class AuditQuerySet(ScopedQuerySet["AuditEntry"]):
    def update(self, **_: Any) -> NoReturn:
        raise AppendOnly

    def delete(self) -> NoReturn:
        raise AppendOnly


class AuditManager(ScopedManager["AuditEntry"]):
    _queryset_class = AuditQuerySet


class EveryAuditManager(models.Manager["AuditEntry"]):
    _queryset_class = AuditQuerySet


class AuditEntry(models.Model):
    """One entry of the audit log: who did what to which object.

    Names are stored as text, so an entry stays readable when its tenant, user or object is gone. A
    trigger in Postgres refuses changes and deletions; only ``tenants.audit.retention`` may delete.
    """

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    tenant = models.ForeignKey(
        Tenant,
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        related_name="+",
        help_text="Empty for entries of the installation itself.",
    )
    tenant_slug = models.CharField(max_length=40, blank=True)
    actor_kind = models.CharField(
        max_length=10,
        choices=[
            ("user", "Person"),
            ("key", "API key"),
            ("command", "Command"),
            ("system", "Millrace itself"),
        ],
    )
    actor_id = models.CharField(max_length=40, blank=True)
    actor_name = models.CharField(max_length=200)
    address = models.GenericIPAddressField(null=True, help_text="Where the request came from.")
    action = models.CharField(max_length=60)
    object_type = models.CharField(max_length=60, blank=True)
    object_id = models.CharField(max_length=40, blank=True)
    object_name = models.CharField(max_length=200, blank=True)
    detail = models.JSONField(default=dict)

    objects = AuditManager()
    across_tenants = EveryAuditManager()

    class Meta:
        verbose_name_plural = "audit log"
        ordering = ("-pk",)
        indexes = (
            models.Index(fields=("tenant", "-id"), name="audit_by_tenant"),
            models.Index(fields=("object_type", "object_id"), name="audit_by_object"),
        )

    def __str__(self) -> str:
        return f"{self.action} {self.object_name}".strip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise AppendOnly
        super().save(*args, **kwargs)

    def delete(self, *_: Any, **__: Any) -> NoReturn:
        raise AppendOnly
