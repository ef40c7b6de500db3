"""``manage.py tenant create|limit|list|suspend|resume|export|erase|delete``."""

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
    help = "Create, limit, suspend, resume, export, erase from, or delete a tenant."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
        what.add_parser("list", help="list all tenants with their status")
        for name, summary, *aliases in (
            # Scripts may still say "make", the former name.
            ("create", "create a tenant; its warehouse follows within seconds", "make"),
            ("limit", "change its plan, its share of the workers, or its name"),
        ):
            changing = _parser(what, name, summary, *aliases)
            changing.add_argument("--name", help="the display name")
            changing.add_argument("--weight", type=int, help="the share of a worker, 1 to 100")
            changing.add_argument("--plan", help="the name of a plan; '' takes the plan away")
        _parser(what, "suspend", "pause its ingestion, refuse its API calls, keep its data")
        _parser(what, "resume", "resume a suspended tenant")
        exporting = _parser(what, "export", "write all its data into a folder")
        exporting.add_argument(
            "--to", type=Path, metavar="FOLDER", help="the folder, which must not exist yet"
        )
        erasing = _parser(what, "erase", "erase one person's rows; a preview without --yes")
        erasing.add_argument("--column", required=True, help="the column that identifies a person")
        erasing.add_argument("--value", required=True, help="the person's value in that column")
        erasing.add_argument(
            "--table", default="", help="only this table, its quarantine and its rollups"
        )
        erasing.add_argument("--yes", action="store_true", help="erase the rows")
        deleting = _parser(what, "delete", "delete all its data; a preview without --confirm")
        deleting.add_argument("--confirm", metavar="SLUG", help="the tenant's slug, again")
        for reporting in (erasing, deleting, exporting):
            reporting.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['what']}")(options)
        except (LifecycleError, WarehouseError) as error:
            raise CommandError(str(error)) from error

    def _list(self, options: dict[str, Any]) -> None:
        for tenant in Tenant.objects.all():
            status = tenant.get_status_display()
            self.stdout.write(f"{tenant.slug}\t{status}\tweight {tenant.weight}\t{tenant}")

    def _create(self, options: dict[str, Any]) -> None:
        weight = 1 if options["weight"] is None else options["weight"]
        tenant = tenants.make(options["slug"], options["name"] or "", weight=weight)
        if options["plan"]:
            tenants.limit(tenant, plan=options["plan"])
        self.stdout.write(f"{tenant.slug} was created. Its warehouse follows within seconds.")

    # The action is looked up by the name that was typed.
    _make = _create

    def _limit(self, options: dict[str, Any]) -> None:
        tenant = find(options["slug"])
        tenants.limit(tenant, weight=options["weight"], name=options["name"], plan=options["plan"])
        plan = tenant.plan.name if tenant.plan else "no plan"
        self.stdout.write(f"{tenant.slug}: {plan}, weight {tenant.weight}, {tenant.name!r}.")

    def _suspend(self, options: dict[str, Any]) -> None:
        changed = tenants.suspend(find(options["slug"]))
        outcome = "was suspended. Its ingestion pauses within seconds; its API calls get a 403"
        self._print(options, outcome if changed else "was already suspended")

    def _resume(self, options: dict[str, Any]) -> None:
        changed = tenants.resume(find(options["slug"]))
        self._print(options, "was resumed" if changed else "was already active")

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
            msg = "Some data is left; see above. Run the command again."
            raise CommandError(msg)

    def _report(self, options: dict[str, Any], report: Any, lines: list[str]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(asdict(report), indent=2))
            return
        for line in lines:
            self.stdout.write(line)

    def _print(self, options: dict[str, Any], outcome: str) -> None:
        self.stdout.write(f"{options['slug']} {outcome}.")


def _parser(what: Any, name: str, summary: str, *aliases: str) -> CommandParser:
    parser: CommandParser = what.add_parser(
        name, aliases=aliases, help=summary, description=summary
    )
    parser.add_argument("slug", metavar="SLUG", help="the tenant's slug")
    return parser
