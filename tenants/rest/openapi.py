from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiSerializerExtension,
)

from tenants.rest.body import BodySerializer


class APIKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI description presents API keys. Importing the class registers it."""

    target_class = "tenants.rest.authentication.APIKeyAuthentication"
    name = "API key"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A tenant's API key, `mr_...`, as `manage.py api_key create` prints it.",
        }


class BodyScheme(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Describes that bodies refuse unknown members (``additionalProperties: false``)."""

    target_class = BodySerializer
    match_subclasses = True
    priority = -1

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema = auto_schema._map_serializer(  # noqa: SLF001 - as drf-spectacular's own do
            self.target, direction, bypass_extensions=True
        )
        return {**schema, "additionalProperties": False}
