"""Generates the reference of the API's endpoints from the OpenAPI description."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.urls import resolve
from drf_spectacular.generators import SchemaGenerator

from tenants.rest.openapi_problems import ANYWHERE, WITH_BODY
from tools.reference.text import code, plain, sentence, table


def description() -> dict[str, Any]:
    """The OpenAPI document that /api/v1/openapi.json returns."""
    return SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-any-return]


def page() -> str:
    described = description()
    schemas = described["components"]["schemas"]
    parts = [
        part
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
        for part in _operation(path, method, operation, schemas)
    ]
    return "\n\n".join(("## The addresses", *parts))


def address(path: str) -> str:
    """An address as the pages write it: ``/api/v1/queries/<name>``."""
    return path.replace("{", "<").replace("}", ">")


def _operation(
    path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]
) -> Iterator[str]:
    yield f"### `{method.upper()} {address(path)}`"
    yield sentence(operation["summary"])
    yield _needs(path, operation)
    rows = [*_parameters(operation, schemas), *_members(operation, schemas)]
    if rows:
        yield table(("name", "where", "value", "meaning"), rows)
    yield table(("answer", "meaning"), _answers(operation, schemas))


def _needs(path: str, operation: dict[str, Any]) -> str:
    """Which kind of key the endpoint requires, and with which scope."""
    if any("API key" not in schemes for schemes in operation["security"]):
        return "Needs an operator's key."
    view = resolve(re.sub(r"{[^}]+}", "x", path)).func.view_class  # type: ignore[attr-defined]
    return f"Needs an API key with the scope {code(view.scope)}."


def _parameters(operation: dict[str, Any], schemas: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for parameter in operation.get("parameters", ()):
        place = parameter["in"]
        yield (
            code(parameter["name"]),
            {"path": "address", "query": "query string"}.get(place, place),
            _type(parameter["schema"], schemas),
            plain(parameter.get("description", "")),
        )


def _members(operation: dict[str, Any], schemas: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    body = _resolved(schema, schemas)
    required = body.get("required", ())
    for name, member in body.get("properties", {}).items():
        where = "body, required" if name in required else "body"
        yield code(name), where, _type(member, schemas), plain(member.get("description", ""))


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return schemas[name] if name else schema


def _type(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    schema = _resolved(schema, schemas)
    if "enum" in schema:
        return ", ".join(code(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'], schemas)}"
    of_several = schema.get("allOf") or schema.get("oneOf")
    if of_several:
        return _type(of_several[0], schemas)
    kind = schema.get("format") or schema.get("type", "any")
    default = schema.get("default")
    return kind if default in {None, ""} else f"{kind}, {code(default)} by default"


def _answers(operation: dict[str, Any], schemas: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for status, answer in sorted(operation["responses"].items()):
        # The hand-written part of the page says what any endpoint may answer.
        if (ANYWHERE | WITH_BODY).get(status) == answer["description"]:
            continue
        words = plain(answer["description"]) or _shape(answer, schemas)
        yield status, words or HTTPStatus(int(status)).phrase


def _shape(answer: dict[str, Any], schemas: dict[str, Any]) -> str:
    """The members of an answer that has no description."""
    content = answer.get("content", {}).get("application/json", {})
    body = _resolved(content.get("schema", {}), schemas)
    return ", ".join(code(name) for name in body.get("properties", {}))
