from __future__ import annotations

from django.apps import AppConfig


class AnalyticsAPIConfig(AppConfig):
    name = "analytics_api"
    verbose_name = "Analytics API"

    def ready(self) -> None:
        from analytics_api.filters import Checker
        from tenants import filters

        filters.register(Checker())
