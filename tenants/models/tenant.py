from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from tenants.models.plan import Plan
from tenants.scoping import ScopedManager

#: A slug names a ClickHouse database and is used in URLs and file names.
slug_validator = RegexValidator(
    r"^[a-z](?:[a-z0-9]|_(?!_)){0,38}[a-z0-9]\Z|^[a-z]\Z",
    "Use 1 to 40 lower-case letters, digits and single underscores. Start with a letter, and "
    "don't end with an underscore.",
)


class TenantStatus(models.TextChoices):
    ACTIVE = "active", "Active"
    SUSPENDED = "suspended", "Suspended"
    #: Closed like a suspended tenant, but for good: it can't be resumed.
    DELETING = "deleting", "Being deleted"


class Tenant(models.Model):
    """A customer. It owns its warehouse, connections, sources, tables, queries and keys."""

    slug = models.CharField(
        max_length=40,
        unique=True,
        validators=[slug_validator],
        help_text="Names the ClickHouse database (t_<slug>). It can't be changed later.",
    )
    name = models.CharField(max_length=200)
    status = models.CharField(
        max_length=10,
        choices=TenantStatus.choices,
        default=TenantStatus.ACTIVE,
        help_text="While a tenant is suspended, its sources pause and its API calls get a 403.",
    )
    weight = models.PositiveSmallIntegerField(
        default=1,
        db_default=1,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="The tenant's share of a worker while tenants compete, 1 to 100: weight 2 gets "
        "twice as much through as weight 1. Without competition the weight has no effect.",
    )
    plan = models.ForeignKey(
        Plan,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="tenants",
        help_text="The plan limits what the tenant may use. Without one, only the installation's "
        "settings do.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Membership")

    objects = ScopedManager("pk", required=False)
    across_tenants = models.Manager()

    class Meta:
        ordering = ("slug",)

    def __str__(self) -> str:
        return self.name or self.slug

    @property
    def is_active(self) -> bool:
        return self.status == TenantStatus.ACTIVE


class Role(models.TextChoices):
    OWNER = "owner", "Owner"
    EDITOR = "editor", "Editor"
    VIEWER = "viewer", "Viewer"


class Membership(models.Model):
    """What one person may do in one tenant."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.VIEWER)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ScopedManager()
    across_tenants = models.Manager()

    class Meta:
        verbose_name = "member"
        ordering = ("tenant", "user")
        constraints = (models.UniqueConstraint(fields=("tenant", "user"), name="membership_once"),)

    def __str__(self) -> str:
        return f"{self.user}: {self.get_role_display()} of {self.tenant}"
