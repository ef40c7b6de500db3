"""Where each part answers: the admin at ``/admin/``, the API at ``/api/``, ``/metrics``."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from analytics_api.urls import queries
from millrace.metrics.view import metrics
from tenants.admin.search import search

# What is called most stands first: an address is looked for in this order.
urlpatterns = [
    path("api/v1/", include(queries)),
    path("", RedirectView.as_view(pattern_name="admin:index")),
    # Before the site's own address of that name, which ``admin:search`` leads to.
    path("admin/search/", admin.site.admin_view(search)),
    path("admin/", admin.site.urls),
    path("metrics", metrics, name="metrics"),
    path("api/v1/", include("tenants.urls")),
    path("api/v1/", include("ingestion.urls")),
    path("api/", include("analytics_api.urls")),
]
