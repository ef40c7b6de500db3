"""Parameters have examples, and defaults are held to the rules of columns.

What was taken more loosely before (a day alone for a time, 1 for true, 007) is written as it was
understood, so that published queries go on with the same values. What has no such form (a short
FixedString: JSON in Postgres has no NUL) is left, and then has to be given with each call.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import migrations, models

import tenants.exact_json
from analytics_api.parameters import Misfit, ParameterType, TypeRefused, parse, values


def mend(apps: Any, schema_editor: Any) -> None:
    """Rewrite the defaults of versions, and of the queries that they were published from."""
    for version in apps.get_model("analytics_api", "SavedQueryVersion").objects.iterator():
        mended = [_mended(one) for one in version.parameters]
        if mended != version.parameters:
            version.parameters = mended
            version.save(update_fields=["parameters"])
    for query in apps.get_model("analytics_api", "SavedQuery").objects.iterator():
        _mend_query(query)


def _mend_query(query: Any) -> None:
    if query.published is None or not isinstance(query.parameters, dict):
        return
    now = {one["name"]: one["default"] for one in query.published.parameters if "default" in one}
    for name, said in query.parameters.items():
        if isinstance(said, dict) and "default" in said and name in now:
            said["default"] = now[name]
    query.save(update_fields=["parameters"])


def _mended(stored: dict[str, Any]) -> dict[str, Any]:
    if "default" not in stored:
        return stored
    try:
        kind = parse(stored["type"])
        values.encode(kind, stored["default"])
    except TypeRefused:
        return stored
    except Misfit:
        return {**stored, "default": _as_understood(kind, stored["default"])}
    return stored


def _as_understood(kind: ParameterType, value: Any) -> Any:
    """The value in a form that is taken now; as it is where there is none."""
    while kind.base in ("Nullable", "LowCardinality"):
        kind = kind.inner[0]
    try:
        found = _rewritten(kind, value)
        values.encode(kind, found)
    except (ValueError, KeyError, AttributeError, TypeError, InvalidOperation):
        return value
    return found


def _rewritten(kind: ParameterType, value: Any) -> Any:
    if kind.base in ("DateTime", "DateTime64"):
        return _moment(kind, datetime.fromisoformat(value.strip()))
    if kind.base == "Bool":
        return {"true": True, "1": True, "false": False, "0": False}[value.lower()]
    return f"{Decimal(value):f}"


def _moment(kind: ParameterType, moment: datetime) -> str:
    digits = (kind.numbers or (3,))[0] if kind.base == "DateTime64" else 0
    fraction = f".{moment.microsecond:06d}"[: digits + 1] if digits else ""
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction}{moment:%z}"


class Migration(migrations.Migration):
    dependencies = [("analytics_api", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="savedquery",
            name="parameters",
            field=models.JSONField(
                blank=True,
                decoder=tenants.exact_json.Decoder,
                default=dict,
                help_text="What the SQL can't say of a parameter, by its name: "
                '{"day": {"default": "2013-01-01", "example": "2013-12-24", '
                '"description": "The first day"}}. An example is tried before the query is '
                "published. {by:Identifier} needs the names that it may be: "
                '{"by": {"allowed": ["country", "city"]}}.',
            ),
        ),
        migrations.AlterField(
            model_name="savedqueryversion",
            name="parameters",
            field=models.JSONField(
                default=list,
                help_text="[{name, type, default?, example?, allowed?, description?}], in the "
                "SQL's order.",
            ),
        ),
        migrations.RunPython(mend, migrations.RunPython.noop),
    ]
