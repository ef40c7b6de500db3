from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q, Value

from ingestion.models.names import column_name_validator, name_validator
from tenants.models import Provisioned, Tenant
from tenants.scoping import ScopedManager


class UnknownFieldRule(models.TextChoices):
    COUNT = "count", "Count them in a sample, and show them on the table's page"
    IGNORE = "ignore", "Ignore them"


class Table(Provisioned):
    """A table of typed columns that messages are read into, and how ClickHouse stores it."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="tables")
    name = models.CharField(max_length=63, validators=[name_validator])
    sorting_key = ArrayField(
        models.CharField(max_length=200),
        blank=True,
        default=list,
        help_text="Columns or expressions that rows are sorted by, separated by commas.",
    )
    partition_key = models.CharField(
        max_length=200,
        blank=True,
        help_text="An expression by which ClickHouse partitions the rows, such as toYYYYMM(time).",
    )
    ttl = models.CharField(
        max_length=200,
        blank=True,
        verbose_name="TTL",
        help_text="When rows are deleted, such as time + INTERVAL 1 YEAR.",
    )
    quarantine_days = models.PositiveIntegerField(
        default=30, help_text="For how many days messages that did not fit are kept."
    )
    unknown_fields = models.CharField(
        max_length=10,
        choices=UnknownFieldRule.choices,
        default=UnknownFieldRule.COUNT,
        db_default=UnknownFieldRule.COUNT,
        help_text="What to do about fields of messages that no column reads.",
    )
    retention_days = models.PositiveBigIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="Days of retention in the tenant's plan, as last applied. 0: no limit.",
    )
    version = models.PositiveIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="Number of the version that ClickHouse applied last. Messages are typed by it. "
        "0: none yet.",
    )
    has_filtered = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="Whether a version had filters, so that ClickHouse has a table of filtered "
        "messages.",
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
    """One typed column: where its value is in the message, and its type."""

    table = models.ForeignKey(Table, models.CASCADE, related_name="columns")
    position = models.PositiveIntegerField(default=0)
    name = models.CharField(max_length=63, validators=[column_name_validator])
    type = models.CharField(max_length=2_000, help_text="A ClickHouse type, such as DateTime64(3).")
    path = models.CharField(
        max_length=500,
        blank=True,
        help_text="Where the value is in the JSON: keys joined by dots, or JSONPath such as "
        "$['user.name'].first or $.items[*].sku. Leave empty to use the name.",
    )
    required = models.BooleanField(
        default=True, help_text="Messages without this value go to quarantine."
    )
    default = models.TextField(  # noqa: DJ001 - an empty text is a default too
        null=True,
        blank=True,
        help_text="The value for messages that have none, written as JSON. Only for columns that "
        "are not required.",
    )
    quoted_numbers = models.BooleanField(
        default=False,
        help_text='Accept "7" as 7, for producers that write numbers in quotes.',
    )
    format = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="How the value is written. Dates and times: such as %d.%m.%Y %H:%M, or the unit "
        "of a number: s, ms, us or ns. Bool: two texts, such as yes/no. String: base64. Array, "
        "Map and Tuple: json, for JSON in a text. Leave empty for the type's usual form.",
    )
    metadata = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="What to read instead of the JSON: key, topic, partition, offset, timestamp, "
        "routing_key, header:NAME, property:NAME, file or row.",
    )
    expression = models.CharField(
        max_length=1000,
        blank=True,
        default="",
        db_default="",
        help_text="What to compute the value by, from other columns, such as lower(email).",
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
                violation_error_message="A required column can't have a default. Make the column "
                "optional, or remove the default.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} {self.type}"


class TableVersion(models.Model):
    """Columns of a table, and filters of its sources, as ClickHouse has applied them.

    A version never changes.

    A table's own columns are what its owner wants; messages are typed by a version. Each version
    has its own pipeline of views, which stays as long as an open batch names the version.
    """

    table = models.ForeignKey(Table, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    columns = models.JSONField(
        help_text="[{name, type, path, required, default, quoted_numbers, format, metadata, "
        "expression}], in column order."
    )
    filters = models.JSONField(
        default=list,
        db_default=Value([], output_field=models.JSONField()),
        help_text="[{source, expression}], by source.",
    )
    form = models.PositiveIntegerField(help_text="PIPELINE_FORM of the version's views.")
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
