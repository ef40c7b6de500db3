from __future__ import annotations

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

from tenants import exact_json
from tenants.models import Tenant
from tenants.scoping import ScopedManager

name_validator = RegexValidator(
    r"^[a-z][a-z0-9_]{0,62}\Z",
    "Use up to 63 lower-case letters, digits and underscores, beginning with a letter.",
)


class SavedQuery(models.Model):
    """Named SQL with typed parameters ``{name:Type}``; published, it is an endpoint."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="saved_queries")
    name = models.CharField(
        max_length=63,
        validators=[name_validator],
        help_text="Stands in the endpoint's address: /api/v1/queries/<name>.",
    )
    description = models.TextField(blank=True)
    sql = models.TextField(
        verbose_name="SQL",
        help_text="One SELECT over the tenant's tables. Parameters are written {name:Type}.",
    )
    parameters = models.JSONField(
        default=dict,
        blank=True,
        decoder=exact_json.Decoder,
        help_text='What the SQL can\'t say of a parameter, by its name: {"day": {"default": '
        '"2013-01-01", "example": "2013-12-24", "description": "The first day"}}. An example is '
        "tried before the query is published. {by:Identifier} needs the names that it may be: "
        '{"by": {"allowed": ["country", "city"]}}.',
    )
    published = models.ForeignKey(
        "SavedQueryVersion",
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ScopedManager()
    across_tenants = models.Manager()

    class Meta:
        verbose_name_plural = "saved queries"
        ordering = ("tenant", "name")
        constraints = (
            models.UniqueConstraint(fields=("tenant", "name"), name="saved_query_name_once"),
        )

    def __str__(self) -> str:
        return f"{self.tenant.slug}.{self.name}"

    @property
    def is_published(self) -> bool:
        return self.published_id is not None


class SavedQueryVersion(models.Model):
    """One published state of a saved query.

    Its SQL as it runs never changes, a next version follows it; ``text`` follows the author's.
    """

    query = models.ForeignKey(SavedQuery, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    sql = models.TextField(verbose_name="SQL", help_text="As it runs.")
    text = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="As its author wrote it, comments included. Empty: of an earlier release.",
    )
    parameters = models.JSONField(
        default=list,
        help_text="[{name, type, default?, example?, allowed?, description?}], in the SQL's order.",
    )
    columns = models.JSONField(default=list, help_text="[{name, type}] of the result.")
    engine_settings = models.JSONField(
        default=dict,
        blank=True,
        help_text="ClickHouse's settings that the query asks for, by name.",
    )
    published_at = models.DateTimeField(auto_now_add=True)
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True
    )

    objects = ScopedManager("query__tenant")
    across_tenants = models.Manager()

    class Meta:
        ordering = ("query", "-number")
        constraints = (
            models.UniqueConstraint(fields=("query", "number"), name="saved_query_version_once"),
        )

    def __str__(self) -> str:
        return f"{self.query} v{self.number}"
