"""One HTTP call to ClickHouse as the tenant's own user; its bytes are passed on as they are."""

from __future__ import annotations

from analytics_api.engine.answer import Answer, NotText
from analytics_api.engine.call import Account, Call, ask

__all__ = ["Account", "Answer", "Call", "NotText", "ask"]
