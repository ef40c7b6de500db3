from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import CommandError
from django.db.models import QuerySet
from django.utils import timezone

from tenants.audit.command import ChangingCommand
from tenants.audit.entry_formats import as_csv, as_ndjson
from tenants.audit.retention import prune
from tenants.models import AuditEntry, Tenant

_FORMATS = {"csv": as_csv, "ndjson": as_ndjson}


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Command(ChangingCommand):
    help = "Print the audit log, oldest entry first: who did what to which object."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", metavar="SLUG", help="Only entries of this tenant.")
        for name, which in (("--since", "from this time on"), ("--until", "before this time")):
            parser.add_argument(
                name, type=_moment, metavar="TIME", help=f"Only entries {which} (ISO 8601)."
            )
        parser.add_argument(
            "--format",
            choices=list(_FORMATS),
            default="ndjson",
            help="The output format; default: %(default)s.",
        )
        parser.add_argument(
            "--prune-days",
            type=int,
            metavar="DAYS",
            help="Instead of printing, delete older entries of all tenants. The log records this.",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        if options["prune_days"] is not None:
            self._prune(options["prune_days"])
            return
        rows: QuerySet[AuditEntry] = AuditEntry.across_tenants.order_by("pk")
        if slug := options["tenant"]:
            rows = rows.filter(tenant_slug=_known(slug))
        if options["since"]:
            rows = rows.filter(at__gte=options["since"])
        if options["until"]:
            rows = rows.filter(at__lt=options["until"])
        for line in _FORMATS[options["format"]](rows.iterator(chunk_size=2_000)):
            self.stdout.write(line, ending="")

    def _prune(self, days: int) -> None:
        if days < 1:
            msg = f"--prune-days must be at least 1, not {days}."
            raise CommandError(msg)
        count = prune(timezone.now() - timedelta(days=days))
        self.stdout.write(f"{count:,} entries older than {days} days were deleted.")


def _known(slug: str) -> str:
    """``slug``, if a tenant has it or had it, as long as a deleted tenant has entries."""
    if not (
        Tenant.objects.filter(slug=slug).exists()
        or AuditEntry.across_tenants.filter(tenant_slug=slug).exists()
    ):
        msg = f"There is no tenant {slug!r}, and the log has no entries of a deleted one."
        raise CommandError(msg)
    return slug
