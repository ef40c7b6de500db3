from __future__ import annotations

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

from tenants import exact_json
from tenants.models import Tenant
from tenants.scoping import ScopedManager

name_validator = RegexValidator(
    r"^[a-z][a-z0-9_]{0,62}\Z",
    "Use up to 63 lower-case letters, digits and underscores. Start with a letter.",
)


class SavedQuery(models.Model):
    """Named SQL with typed parameters ``{name:Type}``. Once published, it is an endpoint."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="saved_queries")
    name = models.CharField(
        max_length=63,
        validators=[name_validator],
        help_text="The last part of the endpoint's address: /api/v1/queries/<name>.",
    )
    description = models.TextField(blank=True)
    sql = models.TextField(
        verbose_name="SQL",
        help_text="One SELECT over the tenant's tables. Write parameters as {name:Type}.",
    )
    parameters = models.JSONField(
        default=dict,
        blank=True,
        decoder=exact_json.Decoder,
        help_text='Describe the parameters here, by name: {"day": {"default": "2013-01-01", '
        '"example": "2013-12-24", "description": "The first day"}}. Before a query is published, '
        "it is tried with the examples. {by:Identifier} needs a list of allowed names: "
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
    """A published state of a saved query.

    ``sql``, which runs, never changes: a change makes a new version. ``text`` may change, since the
    author may edit blanks and comments without making a new version.
    """

    query = models.ForeignKey(SavedQuery, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    sql = models.TextField(verbose_name="SQL", help_text="The SQL that runs.")
    text = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="The SQL as its author wrote it, with comments. Empty in versions of old "
        "releases.",
    )
    parameters = models.JSONField(
        default=list,
        help_text="[{name, type, default?, example?, allowed?, description?}], in the order of the "
        "SQL.",
    )
    columns = models.JSONField(default=list, help_text="The result's columns: [{name, type}].")
    engine_settings = models.JSONField(
        default=dict,
        blank=True,
        help_text="ClickHouse settings that the query sets, by name.",
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
