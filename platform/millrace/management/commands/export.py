from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from millrace.configuration.export import export
from tenants.models import Tenant


class Command(BaseCommand):
    help = "Write a tenant as a YAML file that apply can read. Secrets are left out."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")

    def handle(self, *_: Any, **options: Any) -> None:
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            known = ", ".join(Tenant.objects.values_list("slug", flat=True)[:20]) or "none yet"
            msg = f"There is no tenant {options['tenant']!r}. Tenants: {known}."
            raise CommandError(msg)
        self.stdout.write(export(tenant), ending="")
