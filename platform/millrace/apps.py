from __future__ import annotations

from django.apps import AppConfig


class MillraceConfig(AppConfig):
    name = "millrace"

    def ready(self) -> None:
        # Celery's shared tasks find the application here; the package's __init__ stays free of
        # it because the embedded engine, which needs neither, is imported through it.
        from django.contrib import admin

        from millrace import celery, checks  # noqa: F401
        from millrace.configuration.export import export
        from tenants.lifecycle import registry

        registry.definitions["definitions.yaml"] = export

        admin.site.index_title = "Overview"
