"""A tenant as the file that ``apply`` reads. No secret is written, only where it would be read."""

from __future__ import annotations

import json
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
    """The tenant and all that is its own, and the shared connections that its sources use."""
    content: dict[str, Any] = {}
    shared = Connection.objects.filter(tenant=None, sources__tenant=tenant).distinct()
    if shared:
        content["connections"] = [_connection(one) for one in shared]
    content["tenants"] = [_tenant(tenant)]
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _tenant(tenant: Tenant) -> dict[str, Any]:
    found: dict[str, Any] = {"slug": tenant.slug, "name": tenant.name, "status": tenant.status}
    found["weight"] = tenant.weight
    parts = {
        "connections": [_connection(one) for one in tenant.connections.all()],
        "tables": [_table(one) for one in tenant.tables.all()],
        "sources": [_source(one) for one in tenant.sources.select_related("connection", "table")],
        "queries": [_query(one) for one in tenant.saved_queries.select_related("published")],
    }
    return found | {key: value for key, value in parts.items() if value}


def _connection(row: Connection) -> dict[str, Any]:
    found: dict[str, Any] = {"name": row.name, "kind": row.kind, "addresses": row.addresses}
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
    return found | {key: value for key, value in optional.items() if value or value is False}


def _elsewhere(row: Connection, field: str) -> dict[str, str]:
    """Where ``apply`` would read a secret that the connection has."""
    if not getattr(row, field):
        return {}
    owner = row.tenant.slug if row.tenant else "shared"
    return {"env": f"{owner}_{row.name}_{field}".upper().replace("-", "_")}


def _table(row: Table) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": row.name,
        "columns": [_column(one) for one in row.columns.all()],
    }
    optional = {
        "sorting_key": list(row.sorting_key),
        "partition_key": row.partition_key,
        "ttl": row.ttl,
    }
    found |= {key: value for key, value in optional.items() if value}
    return found | {"quarantine_days": row.quarantine_days}


def _column(row: Column) -> dict[str, Any]:
    found: dict[str, Any] = {"name": row.name, "type": row.type}
    if row.path:
        found["path"] = row.path
    if row.default is not None:
        found["default"] = json.loads(row.default)
    if row.required != (row.default is None and not is_nullable(row.type)):
        found["required"] = row.required
    return found | ({"quoted_numbers": True} if row.quoted_numbers else {})


def _source(row: Source) -> dict[str, Any]:
    found: dict[str, Any] = {"name": row.name, "table": row.table.name}
    if row.connection:
        found |= {"connection": row.connection.name, "stream": row.stream}
    found |= {"start": row.start, "active": row.active}
    return found | {"quarantine_limit": row.quarantine_limit}


def _query(row: SavedQuery) -> dict[str, Any]:
    found: dict[str, Any] = {"name": row.name}
    if row.description:
        found["description"] = row.description
    draft = _said(row.sql, row.parameters)
    if row.published is None or not drafts.has_draft(row):
        return found | draft | {"published": row.is_published}
    answers = _said(drafts.written(row.published), drafts.described(row.published))
    return found | answers | {"draft": draft, "published": True}


def _said(sql: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"sql": sql} | ({"parameters": parameters} if parameters else {})
