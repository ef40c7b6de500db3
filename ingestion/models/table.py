from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from ingestion.models.names import column_name_validator, name_validator
from tenants.models import Provisioned, Tenant
from tenants.scoping import ScopedManager


class Table(Provisioned):
    """What a stream's messages become: typed columns, and how ClickHouse keeps them."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="tables")
    name = models.CharField(max_length=63, validators=[name_validator])
    sorting_key = ArrayField(
        models.CharField(max_length=200),
        blank=True,
        default=list,
        help_text="Columns or expressions, comma-separated, that rows are sorted by.",
    )
    partition_key = models.CharField(
        max_length=200, blank=True, help_text="An expression, such as toYYYYMM(time)."
    )
    ttl = models.CharField(
        max_length=200,
        blank=True,
        verbose_name="TTL",
        help_text="When rows are deleted, such as time + INTERVAL 1 YEAR.",
    )
    quarantine_days = models.PositiveIntegerField(
        default=30, help_text="Days for which messages that did not fit are kept."
    )
    retention_days = models.PositiveBigIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="The retention of the tenant's plan, as last applied. 0: none.",
    )
    version = models.PositiveIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="Number of the version that ClickHouse has applied last; messages are typed by "
        "it. 0: none yet.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ScopedManager()
    across_tenants = models.Manager()

    class Meta:
        ordering = ("tenant", "name")
        constraints = (models.UniqueConstraint(fields=("tenant", "name"), name="table_name_once"),)

    def __str__(self) -> str:
        return f"{self.tenant.slug}.{self.name}"


class Column(models.Model):
    """One typed column: where in the message its value stands, and what it must be."""

    table = models.ForeignKey(Table, models.CASCADE, related_name="columns")
    position = models.PositiveIntegerField(default=0)
    name = models.CharField(max_length=63, validators=[column_name_validator])
    type = models.CharField(max_length=200, help_text="A ClickHouse type, such as DateTime64(3).")
    path = models.CharField(
        max_length=500,
        blank=True,
        help_text="Where in the JSON the value stands: keys joined by dots. Empty: the name.",
    )
    required = models.BooleanField(
        default=True, help_text="A message without it goes to quarantine."
    )
    default = models.TextField(  # noqa: DJ001 - an empty text is a default too
        null=True,
        blank=True,
        help_text="The value where a message has none, written as JSON. For columns not required.",
    )
    quoted_numbers = models.BooleanField(
        default=False, help_text='Take "7" for 7, as producers do that write numbers in quotes.'
    )

    objects = ScopedManager("table__tenant")
    across_tenants = models.Manager()

    class Meta:
        ordering = ("table", "position", "pk")
        constraints = (
            models.UniqueConstraint(fields=("table", "name"), name="column_name_once"),
            models.CheckConstraint(
                condition=Q(required=False) | Q(default=None),
                name="column_required_or_default",
                violation_error_message="A required column has no default: leave one of the two.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} {self.type}"


class TableVersion(models.Model):
    """Columns of a table as ClickHouse has applied them. It is never changed, only followed.

    A table's own columns are what somebody wishes; messages are typed by a version. Each has a
    pipeline of views of its own, which stays as long as a batch is open that names the version.
    """

    table = models.ForeignKey(Table, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    columns = models.JSONField(
        help_text="[{name, type, path, required, default, quoted_numbers}], in their order."
    )
    form = models.PositiveIntegerField(help_text="Of the pipeline's views.")
    applied_at = models.DateTimeField(auto_now_add=True)
    dropped_at = models.DateTimeField(
        null=True, blank=True, help_text="When its pipeline was dropped."
    )

    objects = ScopedManager("table__tenant")
    across_tenants = models.Manager()

    class Meta:
        verbose_name = "table version"
        ordering = ("table", "-number")
        constraints = (
            models.UniqueConstraint(fields=("table", "number"), name="table_version_once"),
        )
        indexes = (
            models.Index(
                fields=("table",), condition=Q(dropped_at=None), name="table_version_standing"
            ),
        )

    def __str__(self) -> str:
        return f"{self.table} v{self.number}"
