"""Addresses below ``/api/``."""

from __future__ import annotations

from django.urls import path, re_path

from analytics_api.api import QueriesView, QueryView
from analytics_api.description import DescriptionPage, DescriptionView
from tenants.api.endpoint import Nowhere

urlpatterns = [
    path("docs", DescriptionPage.as_view(), name="api-docs"),
    path("v1/openapi.json", DescriptionView.as_view(), name="openapi"),
    path("v1/queries", QueriesView.as_view(), name="queries"),
    path("v1/queries/<str:name>", QueryView.as_view(), name="query"),
    re_path(r"", Nowhere.as_view()),
]
