"""Takes ``SETTINGS`` from a query's end: only settings that change what a query means are allowed.

They are taken out of the text and sent beside it, so that no text ever sets anything. Settings that
change the meaning of a condition (``transform_null_in``, ``session_timezone`` …) are not allowed:
they would change a key's row filters, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analytics_api.guard.errors import QueryRefused
from tenants.warehouse.statements import QUERY_SETTINGS


def take(tree: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """The settings at the end of a statement, and its tree without them; raises QueryRefused."""
    selects = (tree.get("list_of_selects") or {}).get("children") or [{}]
    clauses = (tree.get("settings_ast"), selects[-1].get("settings"))
    if not any(clauses):
        return {}, dict(tree)
    last = {key: node for key, node in selects[-1].items() if key != "settings"}
    rest = {key: node for key, node in tree.items() if key != "settings_ast"}
    rest["list_of_selects"] = {**tree["list_of_selects"], "children": [*selects[:-1], last]}
    settings: dict[str, str] = {}
    for node in filter(None, clauses):
        if set(node) - {"type", "changes", "is_standalone"}:
            msg = "SETTINGS may only give values. Remove DEFAULT and param_."
            raise QueryRefused("clause_settings", msg)
        settings.update(_setting(change) for change in node.get("changes", []))
    return settings, rest


def _setting(change: Mapping[str, Any]) -> tuple[str, str]:
    name, field = str(change["name"]), change["value"]
    known = QUERY_SETTINGS.get(name)
    if known is None:
        names = ", ".join(sorted(QUERY_SETTINGS))
        msg = f"A query may not change the setting {name}. It may change: {names}."
        raise QueryRefused("clause_settings", msg)
    value = _text(field)
    if value not in known:
        msg = f"{name} can be {' or '.join(known)}, not {value!r}."
        raise QueryRefused("clause_settings", msg)
    return name, value


def _text(field: Mapping[str, Any]) -> str:
    value = field.get("value")
    return str(int(value)) if isinstance(value, bool | int) else str(value)


def without(text: str) -> str:
    """``text``, as ClickHouse writes it, without the SETTINGS at its end."""
    return text[: text.rfind(" SETTINGS ")]
