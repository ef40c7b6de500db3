"""``manage.py usage``: the usage of tenants by day and key."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tenants.models import Tenant
from tenants.selectors import usage
from tenants.selectors.usage import UsageLine


class Command(BaseCommand):
    help = "Show the usage of tenants by day (UTC) and key: requests, queries, events, storage."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", nargs="?", help="the tenant's slug; default: all tenants")
        parser.add_argument(
            "--from",
            dest="first",
            type=date.fromisoformat,
            metavar="DAY",
            help="The first day, such as 2026-01-31.",
        )
        parser.add_argument(
            "--to",
            dest="last",
            type=date.fromisoformat,
            metavar="DAY",
            help="The last day, inclusive.",
        )
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="Print one JSON array.")
        form.add_argument("--csv", action="store_true", help="Print CSV.")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            first, last = usage.span(options["first"], options["last"], timezone.now())
        except ValueError as error:
            raise CommandError(str(error)) from None
        lines = usage.lines(first, last, self._tenant(options["tenant"]))
        if options["csv"]:
            self.stdout.write(usage.as_csv(lines), ending="")
        elif options["json"]:
            documents = [{"tenant": line.tenant, **line.as_dict()} for line in lines]
            self.stdout.write(json.dumps(documents, indent=2))
        else:
            width = None if self.stdout.isatty() else 200
            Console(file=self.stdout, width=width).print(_table(lines))  # type: ignore[arg-type]

    def _tenant(self, slug: str | None) -> int | None:
        if slug is None:
            return None
        tenant = Tenant.objects.filter(slug=slug).first()
        if tenant is None:
            msg = f"There is no tenant {slug!r}. Give a tenant's slug, or leave it out for all."
            raise CommandError(msg)
        return tenant.pk


def _table(lines: list[UsageLine]) -> Table:
    table = Table("Day", "Tenant", "Key", box=None, header_style="bold", pad_edge=False)
    for name in usage.FIELDS:
        table.add_column(name.replace("_", " ").capitalize(), justify="right")
    for line in lines:
        figures = (f"{getattr(line.figures, name):,}" for name in usage.FIELDS)
        table.add_row(
            str(line.day), line.tenant, escape(line.key_name or line.key or "–"), *figures
        )
    return table
