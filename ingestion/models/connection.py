from __future__ import annotations

from django.db import models

from ingestion.models.names import stream_name_validator
from tenants.crypto import EncryptedTextField
from tenants.models import Tenant


class ConnectionKind(models.TextChoices):
    KAFKA = "kafka", "Kafka"
    RABBITMQ = "rabbitmq", "RabbitMQ"


class Connection(models.Model):
    """How to reach one broker; a tenant's own, or shared by the platform (no tenant)."""

    tenant = models.ForeignKey(
        Tenant,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="connections",
        help_text="Leave empty to share this connection between all tenants.",
    )
    name = models.CharField(max_length=63, validators=[stream_name_validator])
    kind = models.CharField(max_length=10, choices=ConnectionKind.choices)
    addresses = models.CharField(
        max_length=1000,
        help_text="host:port, several separated by commas. For RabbitMQ host:port/virtual-host.",
    )
    username = models.CharField(max_length=200, blank=True)
    password = EncryptedTextField(blank=True, help_text="Encrypted at rest, and never shown again.")
    options = models.JSONField(
        default=dict,
        blank=True,
        help_text="Further settings of the client, such as "
        '{"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512"}.',
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("tenant", "name")
        constraints = (
            models.UniqueConstraint(
                fields=("tenant", "name"), nulls_distinct=False, name="connection_name_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.tenant.slug if self.tenant else 'shared'}.{self.name}"
