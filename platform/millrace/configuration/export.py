"""Writes a tenant as a file for ``apply``. In place of each secret it names a variable for it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import yaml

from analytics_api.models import SavedQuery
from analytics_api.selectors import drafts
from ingestion.models import Column, Connection, Source, Table
from millrace.configuration.objects import is_nullable
from tenants.models import Tenant


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def export(tenant: Tenant) -> str:
    """YAML of the tenant, everything it owns, and the shared connections that its sources use."""
    content: dict[str, Any] = {}
    shared = Connection.objects.filter(tenant=None, sources__tenant=tenant).distinct()
    if shared:
        content["connections"] = [_connection(row) for row in shared]
    content["tenants"] = [_tenant(tenant)]
    return dumped(content)


def dumped(content: dict[str, Any]) -> str:
    """The content of a file as YAML, in the form of all exports."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _tenant(tenant: Tenant) -> dict[str, Any]:
    entry: dict[str, Any] = {"slug": tenant.slug, "name": tenant.name, "status": tenant.status}
    entry["weight"] = tenant.weight
    parts = {
        "connections": [_connection(row) for row in tenant.connections.all()],
        "tables": [table_part(row, row.columns.all()) for row in tenant.tables.all()],
        "sources": [_source(row) for row in tenant.sources.select_related("connection", "table")],
        "queries": [_query(row) for row in tenant.saved_queries.select_related("published")],
    }
    return entry | {key: value for key, value in parts.items() if value}


def _connection(row: Connection) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": row.name, "kind": row.kind, "addresses": row.addresses}
    optional = {
        "tls": row.tls,
        "ca_certificate": row.ca_certificate,
        "client_certificate": row.client_certificate,
        "client_key": _elsewhere(row, "client_key"),
        "sasl_mechanism": row.sasl_mechanism,
        "username": row.username,
        "password": _elsewhere(row, "password"),
        "token_url": row.token_url,
        "token_scope": row.token_scope,
        "options": row.options,
    }
    # False is written out: leaving tls out would not turn it off where it is on by default.
    return entry | {key: value for key, value in optional.items() if value or value is False}


def _elsewhere(row: Connection, field: str) -> dict[str, str]:
    """A reference to the variable that ``apply`` reads a secret from; {} if it is not set."""
    if not getattr(row, field):
        return {}
    owner = row.tenant.slug if row.tenant else "shared"
    return {"env": f"{owner}_{row.name}_{field}".upper().replace("-", "_")}


def table_part(row: Table, columns: Iterable[Column]) -> dict[str, Any]:
    """The table's part of a file; neither it nor its columns need be saved."""
    entry: dict[str, Any] = {
        "name": row.name,
        "columns": [_column(column) for column in columns],
    }
    optional = {
        "sorting_key": list(row.sorting_key),
        "partition_key": row.partition_key,
        "ttl": row.ttl,
    }
    entry |= {key: value for key, value in optional.items() if value}
    entry |= {"quarantine_days": row.quarantine_days}
    return entry | {"unknown_fields": row.unknown_fields}


def _column(row: Column) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": row.name, "type": row.type}
    if row.path:
        entry["path"] = row.path
    if row.metadata:
        entry["metadata"] = row.metadata
    if row.expression:
        entry["expression"] = row.expression
    if row.default is not None:
        entry["default"] = json.loads(row.default)
    if row.required != (row.default is None and not is_nullable(row.type)):
        entry["required"] = row.required
    if row.quoted_numbers:
        entry["quoted_numbers"] = True
    return entry | ({"format": row.format} if row.format else {})


def _source(row: Source) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": row.name, "table": row.table.name}
    if row.connection:
        entry |= {"connection": row.connection.name, "stream": row.stream}
    entry |= {"start": row.start, "active": row.active}
    if row.filter:
        entry["filter"] = row.filter
    return entry | {"quarantine_limit": row.quarantine_limit}


def _query(row: SavedQuery) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": row.name}
    if row.description:
        entry["description"] = row.description
    draft = _statement(row.sql, row.parameters)
    if row.published is None or not drafts.has_draft(row):
        return entry | draft | {"published": row.is_published}
    published = _statement(drafts.written(row.published), drafts.described(row.published))
    return entry | published | {"draft": draft, "published": True}


def _statement(sql: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"sql": sql} | ({"parameters": parameters} if parameters else {})
