from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from ingestion.models.login import check
from ingestion.models.names import stream_name_validator
from tenants.crypto import EncryptedTextField
from tenants.models import Tenant
from tenants.scoping import ScopedManager


class ConnectionKind(models.TextChoices):
    KAFKA = "kafka", "Kafka"
    RABBITMQ = "rabbitmq", "RabbitMQ"


class SaslMechanism(models.TextChoices):
    PLAIN = "PLAIN", "PLAIN: username and password"
    SCRAM_SHA_256 = "SCRAM-SHA-256", "SCRAM-SHA-256: username and password (Kafka)"
    SCRAM_SHA_512 = "SCRAM-SHA-512", "SCRAM-SHA-512: username and password (Kafka)"
    OAUTHBEARER = "OAUTHBEARER", "OAUTHBEARER: client id and secret, for a token (Kafka)"
    EXTERNAL = "EXTERNAL", "EXTERNAL: the client certificate (RabbitMQ)"


class Connection(models.Model):
    """How to reach one broker. Belongs to a tenant, or is shared by all (no tenant)."""

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
        help_text="host:port; separate several addresses by commas. For RabbitMQ: "
        "host:port/virtual-host.",
    )
    sasl_mechanism = models.CharField(
        "SASL mechanism",
        max_length=15,
        blank=True,
        default="",
        db_default="",
        choices=[
            ("", "PLAIN if a username is set, otherwise no login"),
            *SaslMechanism.choices,
        ],
    )
    username = models.CharField(
        max_length=200, blank=True, help_text="With OAUTHBEARER, the client id."
    )
    password = EncryptedTextField(
        blank=True,
        help_text="With OAUTHBEARER, the client secret. Encrypted at rest and never shown again.",
    )
    token_url = models.CharField(
        "token URL",
        max_length=500,
        blank=True,
        default="",
        db_default="",
        validators=[RegexValidator(r"^https?://[^\s/]+\S*\Z", "Write https://… in full.")],
        help_text="Only for OAUTHBEARER: the token endpoint of the OpenID provider. It receives "
        "the client credentials.",
    )
    token_scope = models.CharField(
        max_length=500,
        blank=True,
        default="",
        db_default="",
        help_text="Only for OAUTHBEARER, if the provider requires a scope.",
    )
    tls = models.BooleanField(
        "TLS",
        null=True,
        blank=True,
        choices=[
            (None, "On if there is a certificate or a Kafka login"),
            (True, "On"),
            (False, "Off"),
        ],
        help_text="With TLS, the broker's certificate and host name are verified.",
    )
    ca_certificate = models.TextField(
        "CA certificate",
        blank=True,
        default="",
        db_default="",
        help_text="The certificate of the CA that signed the broker's certificate (PEM). Leave "
        "empty to use the CAs that this machine trusts.",
    )
    client_certificate = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="For brokers that require a client certificate (PEM).",
    )
    client_key = EncryptedTextField(
        blank=True,
        default="",
        db_default="",
        help_text="The client certificate's key (PEM). Encrypted at rest and never shown again.",
    )
    options = models.JSONField(
        default=dict,
        blank=True,
        help_text='Further settings of the client, such as {"client.rack": "eu-1"}. Never put a '
        "secret here: options are not encrypted.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ScopedManager()
    across_tenants = models.Manager()

    class Meta:
        ordering = ("tenant", "name")
        constraints = (
            models.UniqueConstraint(
                fields=("tenant", "name"), nulls_distinct=False, name="connection_name_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.tenant.slug if self.tenant else 'shared'}.{self.name}"

    @property
    def uses_tls(self) -> bool:
        """Whether to use TLS: as set by the field, or by an option of an older connection.

        If neither is set, TLS is on with a certificate, and for Kafka with a login.
        """
        if self.tls is not None:
            return self.tls
        if protocol := str(self.options.get("security.protocol", "")):
            return "SSL" in protocol.upper()
        has_login = bool(self.username or self.sasl_mechanism)
        has_certificate = bool(self.ca_certificate or self.client_certificate)
        by_kafka_login = self.kind == ConnectionKind.KAFKA and has_login
        return bool(self.options.get("ssl")) or has_certificate or by_kafka_login

    def clean(self) -> None:
        errors = check(self)
        if errors:
            raise ValidationError(errors)
