from __future__ import annotations

from django.apps import AppConfig


class MillraceConfig(AppConfig):
    name = "millrace"

    def ready(self) -> None:
        # Celery's shared tasks find the application because it is imported here. The package's
        # __init__ does not import it, because the embedded ClickHouse, which needs neither Celery
        # nor Django, is imported through that.
        from django.contrib import admin

        from millrace import celery, checks  # noqa: F401
        from millrace.configuration.export import export
        from tenants.lifecycle import registry

        registry.definitions["definitions.yaml"] = export

        admin.site.index_title = "Overview"
