"""What ClickHouse has applied of each table becomes its first version.

A table whose wish is not applied gets none here: its columns in Postgres may be ones that
ClickHouse has refused. It gets its version when a wish of it is applied; until then its sources
wait.
"""

from __future__ import annotations

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from django.db.models import F

_FIELDS = ("name", "type", "path", "required", "default", "quoted_numbers")
_BATCH = 500


def keep_what_is_applied(apps: StateApps, _: BaseDatabaseSchemaEditor) -> None:
    table, version = (apps.get_model("ingestion", one) for one in ("Table", "TableVersion"))
    applied = table.objects.filter(applied=F("generation"), version=0)
    found = applied.prefetch_related("columns").order_by("pk").iterator(chunk_size=_BATCH)
    for one in found:
        columns = [
            {field: getattr(column, field) for field in _FIELDS}
            for column in sorted(one.columns.all(), key=lambda column: (column.position, column.pk))
        ]
        version.objects.get_or_create(
            table=one, number=1, defaults={"columns": columns, "form": 1}
        )
        table.objects.filter(pk=one.pk).update(version=1)


class Migration(migrations.Migration):
    dependencies = (("ingestion", "0014_table_versions"),)
    operations = (migrations.RunPython(keep_what_is_applied, migrations.RunPython.noop),)
