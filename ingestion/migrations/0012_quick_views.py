"""Views that type the usual form, in place of those that type all: every table gets its own anew."""

from __future__ import annotations

from django.db import migrations
from django.db.models import F
from django.db.migrations.state import StateApps
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.utils import timezone


def ask_again(apps: StateApps, _: BaseDatabaseSchemaEditor) -> None:
    """The reconciler finds what is asked for and not applied."""
    apps.get_model("ingestion", "Table").objects.update(
        generation=F("generation") + 1, state="pending", attempts=0, retry_at=timezone.now()
    )


class Migration(migrations.Migration):
    dependencies = (("ingestion", "0011_wanted_partitions"),)
    operations = (migrations.RunPython(ask_again, migrations.RunPython.noop),)
