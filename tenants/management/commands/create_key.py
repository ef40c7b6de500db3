from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tenants.keys import create_key
from tenants.models import Scope, Tenant


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Command(BaseCommand):
    help = "Make an API key of a tenant's and print it, once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument("--name", default="command line", help="who or what uses the key")
        parser.add_argument(
            "--scope",
            action="append",
            default=[],
            choices=list(Scope.values),
            help="what the key may do; may be repeated; all where it is left out",
        )
        parser.add_argument(
            "--expires",
            type=_moment,
            metavar="TIME",
            help="when it ends, as 2030-01-31 or 2030-01-31T12:00:00+02:00 (UTC if it doesn't say)",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            known = ", ".join(Tenant.objects.values_list("slug", flat=True)[:20]) or "none yet"
            msg = f"There is no tenant {options['tenant']!r}. Tenants: {known}."
            raise CommandError(msg)
        made, plaintext = create_key(
            tenant,
            options["name"],
            scopes=options["scope"],
            expires_at=options["expires"],
        )
        self.stdout.write(plaintext)
        self.stderr.write(f"Keep it now: it can't be shown again. It begins with {made.prefix}.")
