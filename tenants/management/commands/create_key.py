from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError

from tenants.audit import record_once
from tenants.audit.command import ChangingCommand
from tenants.models import DEFAULT_SCOPES, Scope, Tenant
from tenants.services.keys import create_key


def moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Command(ChangingCommand):
    help = "Make an API key of a tenant's and print it, once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument("--name", default="command line", help="who or what uses the key")
        parser.add_argument(
            "--scope",
            action="append",
            default=[],
            choices=list(Scope.values),
            help="what the key may do; may be repeated; "
            f"{' and '.join(DEFAULT_SCOPES)} where it is left out",
        )
        parser.add_argument(
            "--expires",
            type=moment,
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
        detail = {"scopes": made.scopes, "expires_at": made.expires_at}
        record_once("key.create", made, tenant=tenant, detail=detail)
        self.stdout.write(plaintext)
        self.stderr.write(f"Keep it now: it can't be shown again. It begins with {made.prefix}.")
