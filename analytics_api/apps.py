from __future__ import annotations

from django.apps import AppConfig


class AnalyticsAPIConfig(AppConfig):
    name = "analytics_api"
    verbose_name = "Analytics API"

    def ready(self) -> None:
        from analytics_api.readers import readers
        from analytics_api.row_filters import ConditionChecker
        from tenants import filters
        from tenants.lifecycle import registry

        filters.register(ConditionChecker())
        registry.readers.append(readers)
