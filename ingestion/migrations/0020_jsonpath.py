"""Writes paths that begin with the key $ in another way, because ``$.a`` is JSONPath from now on.

An earlier version took ``$.a`` for the keys ``$`` and ``a``. A pipeline that stands reads these,
so the path must go on meaning them: it becomes ``$['$'].a``.
"""

import json
import re

from django.db import migrations, models

_NAME = re.compile(r"(?:[A-Za-z_]|[^\x00-\x7F])(?:[A-Za-z0-9_]|[^\x00-\x7F])*")


def _step(key):
    if _NAME.fullmatch(key):
        return f".{key}"
    escaped = json.dumps(key, ensure_ascii=False)[1:-1].replace(r"\"", '"').replace("'", r"\'")
    return f"['{escaped}']"


def _keys_of(path):
    """The same keys as JSONPath; a path that would be too long stays."""
    written = "$" + "".join([_step(key) for key in path.split(".")])
    return written if len(written) <= 500 else path


def _is_jsonpath(path):
    return path.startswith(("$.", "$[")) or path == "$"


def write_keys(apps, schema_editor):
    column, version = (apps.get_model("ingestion", name) for name in ("Column", "TableVersion"))
    for row in column._base_manager.filter(path__startswith="$"):
        if _is_jsonpath(row.path):
            row.path = _keys_of(row.path)
            row.save(update_fields=["path"])
    for row in version._base_manager.all().iterator():
        odd = [one for one in row.columns if _is_jsonpath(one.get("path", ""))]
        for one in odd:
            one["path"] = _keys_of(one["path"])
        if odd:
            row.save(update_fields=["columns"])


class Migration(migrations.Migration):

    dependencies = [
        ('ingestion', '0019_plain_words'),
    ]

    operations = [
        migrations.AlterField(
            model_name='column',
            name='path',
            field=models.CharField(blank=True, help_text="Where the value is in the JSON: keys joined by dots, or JSONPath such as $['user.name'].first or $.items[*].sku. Leave empty to use the name.", max_length=500),
        ),
        migrations.RunPython(write_keys, migrations.RunPython.noop),
    ]
