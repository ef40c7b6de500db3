"""Addresses of ingestion, below ``/api/v1/``."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from ingestion.api.views import EventsView

urlpatterns: list[URLPattern | URLResolver] = [
    path("events/<str:name>", EventsView.as_view(), name="events"),
]
