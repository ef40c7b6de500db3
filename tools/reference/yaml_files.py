"""Generates the reference of configuration files from their JSON schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import millrace.configuration
from tools.reference.text import code, sentence, table

SCHEMA = Path(millrace.configuration.__file__).with_name("millrace.schema.json")


def schema() -> dict[str, Any]:
    return json.loads(SCHEMA.read_text())


def page() -> str:
    top = schema()
    parts = ["## A file", sentence(top["description"]), _properties(top)]
    for name, part in top["$defs"].items():
        parts += [f"## {name}", *_definition(part)]
    return "\n\n".join(parts)


def _definition(part: dict[str, Any]) -> Iterator[str]:
    if "description" in part:
        yield sentence(part["description"])
    if "x-message" in part:
        yield sentence(part["x-message"])
    if "properties" in part:
        yield _properties(part)


def _properties(part: dict[str, Any]) -> str:
    return table(("member", "value", "meaning"), _rows(part, ""))


def _rows(part: dict[str, Any], above: str) -> Iterator[tuple[str, str, str]]:
    """A row for each member and each nested member. ``above`` is the path to ``part``."""
    required = part.get("required", ())
    for name, member in part["properties"].items():
        path = f"{above}{name}"
        label = code(path) + (", required" if name in required else "")
        yield label, _type(member), meaning(member)
        if "properties" in member:
            yield from _rows(member, f"{path}.")
        of_each = member.get("additionalProperties")
        if isinstance(of_each, dict) and "properties" in of_each:
            yield from _rows(of_each, f"{path}.<name>.")


def _type(part: dict[str, Any]) -> str:
    if "$ref" in part:
        above, name = part["$ref"].rsplit("/", 1)
        return f"[{name}](#{name})" if above == "#/$defs" else f"as {code(name)}"
    if "enum" in part:
        return ", ".join(map(code, part["enum"]))
    for word in ("oneOf", "anyOf"):
        if word in part:
            return " or ".join(map(_type, part[word]))
    kinds = part.get("type", "any value")
    if kinds == "array":
        return f"list of {_type(part['items'])}"
    return " or ".join([kinds] if isinstance(kinds, str) else kinds) + _range(part)


def _range(part: dict[str, Any]) -> str:
    if "minimum" not in part:
        return ""
    if "maximum" not in part:
        return f" from {part['minimum']}"
    return f" from {part['minimum']} to {part['maximum']}"


def meaning(part: dict[str, Any]) -> str:
    words = (part.get("description", ""), part.get("x-message", ""))
    return " ".join(sentence(text) for text in words if text)
