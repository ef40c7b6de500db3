"""Calls ClickHouse over HTTP as the tenant's own user; a result's bytes are passed on unchanged."""

from __future__ import annotations

from analytics_api.query_client.answer import Answer, NotText
from analytics_api.query_client.query_call import Account, QueryCall, ask

__all__ = ["Account", "Answer", "NotText", "QueryCall", "ask"]
