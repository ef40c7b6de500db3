"""The URL configuration: the admin at ``/admin/``, the API at ``/api/``, and ``/metrics``."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from analytics_api.urls import queries
from millrace.metrics.view import metrics
from tenants.admin.search import search

# The most frequent calls come first, because Django tries the patterns in this order.
urlpatterns = [
    path("api/v1/", include(queries)),
    path("", RedirectView.as_view(pattern_name="admin:index")),
    # Before the admin site's own ``search/``, which this view replaces (``admin:search``).
    path("admin/search/", admin.site.admin_view(search)),
    path("admin/", admin.site.urls),
    path("metrics", metrics, name="metrics"),
    path("api/v1/", include("tenants.urls")),
    path("api/v1/", include("ingestion.urls")),
    path("api/", include("analytics_api.urls")),
]
