"""Admin pages of saved queries."""

from analytics_api.admin import query

__all__ = ["query"]
