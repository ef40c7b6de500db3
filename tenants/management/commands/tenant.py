"""``manage.py tenant make|limit|list|suspend|resume|export|erase|delete``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from tenants.audit.command import ChangingCommand
from tenants.errors import LifecycleError
from tenants.lifecycle import delete, erase, tenant_export
from tenants.management import lifecycle_reports
from tenants.models import Tenant
from tenants.selectors.tenants import find
from tenants.services import tenants
from tenants.warehouse.errors import WarehouseError


class Command(ChangingCommand):
    help = "Make, limit, suspend, resume, export, erase from, or delete a tenant."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
        what.add_parser("list", help="all tenants and how they are")
        for name, words in (
            ("make", "make a tenant; its warehouse is made after it"),
            ("limit", "change its plan, its share of the workers, or its name"),
        ):
            one = _one(what, name, words)
            one.add_argument("--name", help="as people call it")
            one.add_argument("--weight", type=int, help="share of a worker, 1 to 100")
            one.add_argument("--plan", help="the name of a plan; an empty one takes it away")
        _one(what, "suspend", "pause its ingestion, refuse its callers, keep its data")
        _one(what, "resume", "go on where it was suspended")
        exporting = _one(what, "export", "write everything of it into a folder")
        exporting.add_argument("--to", type=Path, metavar="FOLDER", help="one that is not there")
        erasing = _one(what, "erase", "erase one person's rows; only shows them without --yes")
        erasing.add_argument("--column", required=True, help="the column that tells whose they are")
        erasing.add_argument("--value", required=True, help="its value for that person")
        erasing.add_argument("--table", default="", help="only this table, and what hangs on it")
        erasing.add_argument("--yes", action="store_true", help="do it")
        deleting = _one(what, "delete", "delete all of it; only shows it without --confirm")
        deleting.add_argument("--confirm", metavar="SLUG", help="the tenant's slug, again")
        for one in (erasing, deleting, exporting):
            one.add_argument("--json", action="store_true", help="the report as JSON")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['what']}")(options)
        except (LifecycleError, WarehouseError) as error:
            raise CommandError(str(error)) from error

    def _list(self, options: dict[str, Any]) -> None:
        for one in Tenant.objects.all():
            self.stdout.write(f"{one.slug}\t{one.get_status_display()}\tweight {one.weight}\t{one}")

    def _make(self, options: dict[str, Any]) -> None:
        weight = 1 if options["weight"] is None else options["weight"]
        made = tenants.make(options["slug"], options["name"] or "", weight=weight)
        if options["plan"]:
            tenants.limit(made, plan=options["plan"])
        self.stdout.write(f"{made.slug} is made; its warehouse follows within seconds.")

    def _limit(self, options: dict[str, Any]) -> None:
        tenant = find(options["slug"])
        tenants.limit(tenant, weight=options["weight"], name=options["name"], plan=options["plan"])
        plan = tenant.plan.name if tenant.plan else "no plan"
        self.stdout.write(f"{tenant.slug}: {plan}, weight {tenant.weight}, {tenant.name!r}.")

    def _suspend(self, options: dict[str, Any]) -> None:
        changed = tenants.suspend(find(options["slug"]))
        words = "is suspended: its ingestion pauses within seconds, its callers get 403"
        self._told(options, words if changed else "was suspended already")

    def _resume(self, options: dict[str, Any]) -> None:
        changed = tenants.resume(find(options["slug"]))
        self._told(options, "goes on where it was" if changed else "was active already")

    def _export(self, options: dict[str, Any]) -> None:
        folder, manifest = tenant_export.export(find(options["slug"]), options["to"])
        if options["json"]:
            self.stdout.write(json.dumps({"folder": str(folder), **asdict(manifest)}, indent=2))
            return
        for line in lifecycle_reports.exported(folder, manifest):
            self.stdout.write(line)

    def _erase(self, options: dict[str, Any]) -> None:
        report = erase.erase(
            find(options["slug"]),
            options["column"],
            options["value"],
            table=options["table"],
            preview=not options["yes"],
        )
        self._report(options, report, lifecycle_reports.erased(report))

    def _delete(self, options: dict[str, Any]) -> None:
        slug, confirmation = options["slug"], options["confirm"]
        if confirmation is None:
            report = delete.preview(slug)
            self._report(options, report, lifecycle_reports.to_delete(report))
            return
        report = delete.delete(slug, confirmation)
        self._report(options, report, lifecycle_reports.deleted(report))
        if not report.done:
            msg = "Something is left: see above. Repeat the command."
            raise CommandError(msg)

    def _report(self, options: dict[str, Any], report: Any, lines: list[str]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(asdict(report), indent=2))
            return
        for line in lines:
            self.stdout.write(line)

    def _told(self, options: dict[str, Any], words: str) -> None:
        self.stdout.write(f"{options['slug']} {words}.")


def _one(what: Any, name: str, words: str) -> CommandParser:
    parser: CommandParser = what.add_parser(name, help=words, description=words)
    parser.add_argument("slug", metavar="SLUG", help="the tenant's slug")
    return parser
