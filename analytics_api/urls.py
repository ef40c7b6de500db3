"""Addresses below ``/api/``."""

from __future__ import annotations

from django.urls import path, re_path

from analytics_api.api.openapi import DescriptionPage, DescriptionView
from analytics_api.api.queries import QueriesView, QueryView
from analytics_api.api.sql import SQLView
from tenants.rest.endpoint import Nowhere

#: Below ``/api/v1/``, matched before the other patterns there.
queries = [
    path("queries/<str:name>", QueryView.as_view(), name="query"),
    path("queries", QueriesView.as_view(), name="queries"),
]
urlpatterns = [
    path("docs", DescriptionPage.as_view(), name="api-docs"),
    path("v1/openapi.json", DescriptionView.as_view(), name="openapi"),
    path("v1/sql", SQLView.as_view(), name="sql"),
    re_path(r"", Nowhere.as_view()),
]
