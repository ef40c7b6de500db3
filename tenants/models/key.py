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
    QUERIES_SQL = "queries:sql", "Run SQL of the caller's own"
    EVENTS_WRITE = "events:write", "Send events"
    MANAGE = "manage", "Manage sources and API keys"


#: What a key may do for which nobody says so. The rest is given by name alone: a key that is built
#: into a web page or an app must not stop a stream, nor read what no query publishes.
DEFAULT_SCOPES = (Scope.QUERIES_RUN, Scope.EVENTS_WRITE)


def default_scopes() -> list[str]:
    return [str(one) for one in DEFAULT_SCOPES]


#: As the first migration calls it.
_every_scope = default_scopes

#: Seconds that a signed token may last, unless its key says otherwise, and at the very most.
TOKEN_SECONDS = 24 * 3600
MAX_TOKEN_SECONDS = 31 * 24 * 3600


def _names(length: int, help_text: str) -> Any:
    field = models.CharField(max_length=length)
    return ArrayField(field, null=True, blank=True, default=None, help_text=help_text)


class APIKey(models.Model):
    """A key of a tenant's. Its text is shown once; only its SHA-256 stays.

    A restriction that is None holds nothing back. ``tenants.rights`` says what each may be.
    """

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100, help_text="Who or what uses this key.")
    prefix = models.CharField(
        max_length=16,
        unique=True,
        editable=False,
        help_text="The beginning of the key, by which it is found in logs and lists.",
    )
    sha256 = models.BinaryField(max_length=32, unique=True, editable=False)
    scopes = ArrayField(
        models.CharField(max_length=20, choices=Scope.choices), default=default_scopes
    )
    queries = _names(63, "Only these saved queries. Every other is as if it did not exist.")
    sources = _names(63, "Only these sources: for sending events to them, and for managing them.")
    parameters = models.JSONField(
        "fixed parameters",
        default=dict,
        db_default={},
        blank=True,
        help_text='Parameters that the key sets and its holder can\'t: {"customer": 7}. '
        "A query that lacks one of them is refused.",
    )
    row_filters = models.JSONField(
        default=dict,
        db_default={},
        blank=True,
        help_text='Conditions in SQL by table: {"orders": "customer = 7"}; "*" is every table that '
        "has the columns. A table that no condition is for can't be read.",
    )
    networks = _names(43, "Only from these addresses or networks, such as 203.0.113.0/24.")
    origins = _names(200, "Only from web pages of these origins, such as https://shop.example.com.")
    signing_secret = EncryptedTextField(blank=True, default="", db_default="", editable=False)
    public_key = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="Ed25519, as PEM or JWK: tokens signed by its private key (EdDSA) are taken.",
    )
    token_seconds = models.PositiveIntegerField(
        "longest life of a token",
        default=TOKEN_SECONDS,
        db_default=TOKEN_SECONDS,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_TOKEN_SECONDS)],
        help_text="In seconds. A token that is to last longer is refused.",
    )
    replaced_by = models.OneToOneField(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="replaces",
        help_text="The key that took this one's place when it was rotated.",
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
            # An algorithm that the token chooses is how tokens are forged; so a key has one.
            models.CheckConstraint(
                condition=Q(signing_secret="") | Q(public_key=""),
                name="api_key_one_algorithm",
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} (mr_{self.prefix}…)"

    def is_usable(self, now: datetime) -> bool:
        """Neither revoked nor expired at ``now``."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)

    @property
    def algorithm(self) -> str:
        """What signs its tokens: ``HS256``, ``EdDSA``, or '' where it takes none."""
        if self.signing_secret:
            return "HS256"
        return "EdDSA" if self.public_key else ""
