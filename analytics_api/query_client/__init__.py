"""One HTTP call to ClickHouse as the tenant's own user; its bytes are passed on as they are."""

from __future__ import annotations

from analytics_api.query_client.answer import Answer, NotText
from analytics_api.query_client.query_call import Account, QueryCall, ask

__all__ = ["Account", "Answer", "NotText", "QueryCall", "ask"]
