"""Addresses of ingestion, below ``/api/v1/``."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from ingestion.api.reset import ResetView
from ingestion.api.sources import PauseView, QuarantineView, ResumeView, SourcesView, SourceView
from ingestion.api.views import EventsView

urlpatterns: list[URLPattern | URLResolver] = [
    path("events/<str:name>", EventsView.as_view(), name="events"),
    path("sources", SourcesView.as_view(), name="sources"),
    path("sources/<str:name>", SourceView.as_view(), name="source"),
    path("sources/<str:name>/pause", PauseView.as_view(), name="pause-source"),
    path("sources/<str:name>/resume", ResumeView.as_view(), name="resume-source"),
    path("sources/<str:name>/reset", ResetView.as_view(), name="reset-source"),
    path("sources/<str:name>/quarantine", QuarantineView.as_view(), name="source-quarantine"),
]
