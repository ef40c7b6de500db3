from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0001_initial")]

    operations = [
        migrations.AddField(
            "spooledevents",
            "size",
            models.PositiveIntegerField(default=0, help_text="Bytes of the events themselves."),
        ),
        migrations.AddField(
            "streampartition",
            "lost",
            models.BigIntegerField(
                default=0, help_text="Offsets that the broker had deleted before it was their turn."
            ),
        ),
        migrations.AddField(
            "streampartition",
            "spooled_bytes",
            models.BigIntegerField(
                default=0, help_text="Compressed bytes of HTTP events that wait for the table."
            ),
        ),
    ]
