"""URLs below ``/api/v1/`` of the tenants' and the operators' endpoints."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from tenants.api.audit import AuditView
from tenants.api.keys import KeysView, KeyView, RevokeView, RotateView
from tenants.api.operator import views
from tenants.api.usage import PlanView, UsageView

urlpatterns: list[URLPattern | URLResolver] = [
    path("audit", AuditView.as_view(), name="audit"),
    path("keys", KeysView.as_view(), name="keys"),
    path("keys/<str:prefix>", KeyView.as_view(), name="key"),
    path("keys/<str:prefix>/rotate", RotateView.as_view(), name="rotate-key"),
    path("keys/<str:prefix>/revoke", RevokeView.as_view(), name="revoke-key"),
    path("plan", PlanView.as_view(), name="plan"),
    path("usage", UsageView.as_view(), name="usage"),
    path("tenants", views.TenantsView.as_view(), name="tenants"),
    path("tenants/<str:slug>", views.TenantView.as_view(), name="tenant"),
    path("tenants/<str:slug>/suspend", views.SuspendView.as_view(), name="suspend-tenant"),
    path("tenants/<str:slug>/resume", views.ResumeTenantView.as_view(), name="resume-tenant"),
    path("tenants/<str:slug>/exports", views.ExportsView.as_view(), name="tenant-exports"),
    path("tenants/<str:slug>/deletion", views.DeletionView.as_view(), name="tenant-deletion"),
    path("tenants/<str:slug>/erase", views.EraseView.as_view(), name="erase-person"),
]
