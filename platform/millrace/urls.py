"""Where each part answers: the admin at ``/admin/``, the API at ``/api/``."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("ingestion.urls")),
    path("api/", include("analytics_api.urls")),
]
