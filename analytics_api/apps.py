from __future__ import annotations

from django.apps import AppConfig


class AnalyticsAPIConfig(AppConfig):
    name = "analytics_api"
    verbose_name = "Analytics API"
