from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from tenants.crypto import EncryptedTextField
from tenants.models.tenant import Tenant
from tenants.scoping import ScopedManager


class Scope(models.TextChoices):
    QUERIES_RUN = "queries:run", "Run published queries"
    QUERIES_SQL = "queries:sql", "Run the caller's own SQL"
    EVENTS_WRITE = "events:write", "Send events"
    MANAGE = "manage", "Manage sources and API keys"


#: The scopes of a key for which none are given. The other scopes must be granted explicitly: a key
#: built into a web page or an app must not stop a stream or read data that no query publishes.
DEFAULT_SCOPES = (Scope.QUERIES_RUN, Scope.EVENTS_WRITE)


def default_scopes() -> list[str]:
    return [str(scope) for scope in DEFAULT_SCOPES]


#: The name that the first migration refers to.
_every_scope = default_scopes

#: The longest life of a signed token in seconds: by default, and the most that a key can allow.
TOKEN_SECONDS = 24 * 3600
MAX_TOKEN_SECONDS = 31 * 24 * 3600


def _names(length: int, help_text: str) -> Any:
    field = models.CharField(max_length=length)
    return ArrayField(field, null=True, blank=True, default=None, help_text=help_text)


class APIKey(models.Model):
    """An API key of a tenant. Its text is shown once; only its SHA-256 is stored.

    None in a restriction means no restriction. ``tenants.rights`` defines the valid values.
    """

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100, help_text="Who or what uses this key.")
    prefix = models.CharField(
        max_length=16,
        unique=True,
        editable=False,
        help_text="The first characters of the key, which identify it in logs and lists.",
    )
    sha256 = models.BinaryField(max_length=32, unique=True, editable=False)
    scopes = ArrayField(
        models.CharField(max_length=20, choices=Scope.choices), default=default_scopes
    )
    queries = _names(
        63, "Limits the key to these saved queries. All others answer as if they did not exist."
    )
    sources = _names(63, "Limits the key to sending events to these sources and managing them.")
    parameters = models.JSONField(
        "fixed parameters",
        default=dict,
        db_default={},
        blank=True,
        help_text='Query parameters that the key sets and callers can\'t change: {"customer": 7}. '
        "The key can't run queries that lack one of them.",
    )
    row_filters = models.JSONField(
        default=dict,
        db_default={},
        blank=True,
        help_text='SQL conditions by table: {"orders": "customer = 7"}. "*" stands for every table '
        "that has the columns. The key can't read tables without a condition.",
    )
    networks = _names(43, "The IP addresses or networks that may use it, such as 203.0.113.0/24.")
    origins = _names(200, "The web origins that may use it, such as https://shop.example.com.")
    signing_secret = EncryptedTextField(blank=True, default="", db_default="", editable=False)
    public_key = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="An Ed25519 public key as PEM or JWK. Tokens signed with its private key (EdDSA) "
        "are accepted.",
    )
    token_seconds = models.PositiveIntegerField(
        "longest life of a token",
        default=TOKEN_SECONDS,
        db_default=TOKEN_SECONDS,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_TOKEN_SECONDS)],
        help_text="In seconds. Tokens that last longer are refused.",
    )
    replaced_by = models.OneToOneField(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="replaces",
        help_text="The key that replaced this one when it was rotated.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ScopedManager()
    across_tenants = models.Manager()

    class Meta:
        verbose_name = "API key"
        ordering = ("tenant", "-created_at")
        constraints = (
            models.CheckConstraint(
                condition=Q(scopes__contained_by=list(Scope.values)) & ~Q(scopes=[]),
                name="api_key_scopes_known",
            ),
            # A key has one algorithm: if the token could choose, it could be forged.
            models.CheckConstraint(
                condition=Q(signing_secret="") | Q(public_key=""),
                name="api_key_one_algorithm",
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} (mr_{self.prefix}…)"

    def is_usable(self, now: datetime) -> bool:
        """Whether the key is neither revoked nor expired at ``now``."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)

    @property
    def algorithm(self) -> str:
        """The algorithm of its tokens: ``HS256``, ``EdDSA``, or '' if it accepts none."""
        if self.signing_secret:
            return "HS256"
        return "EdDSA" if self.public_key else ""
