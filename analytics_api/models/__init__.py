"""Saved queries and their published versions."""

from analytics_api.models.saved_query import SavedQuery, SavedQueryVersion

__all__ = ["SavedQuery", "SavedQueryVersion"]
