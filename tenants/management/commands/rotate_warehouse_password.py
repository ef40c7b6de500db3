from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from tenants.audit.command import ChangingCommand
from tenants.models import Warehouse
from tenants.provisioning import password
from tenants.services.warehouses import rotate_warehouse_password
from tenants.warehouse.errors import WarehouseError


class Command(ChangingCommand):
    help = "Give the ClickHouse users of tenants new passwords, without failing any call."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", nargs="*", help="the tenants' slugs")
        parser.add_argument(
            "--all", action="store_true", help="rotate the passwords of all tenants"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        chosen = self._chosen(options["tenant"], every=options["all"])
        failed = 0
        started = []
        for warehouse in chosen:
            if self._succeeds(warehouse, rotate_warehouse_password):
                started.append(warehouse)
            else:
                failed += 1
        if started:
            time.sleep(password.OVERLAP.total_seconds())
        for warehouse in started:
            if self._succeeds(warehouse, password.finish):
                self.stdout.write(f"The password of {warehouse} was changed.")
            else:
                failed += 1
        if failed:
            msg = f"{failed} of {len(chosen)} failed; see above. Run the command again for those."
            raise CommandError(msg)

    def _chosen(self, slugs: list[str], *, every: bool) -> list[Warehouse]:
        if bool(slugs) == every:
            raise CommandError("Name one or more tenants, or use --all.")
        rows = Warehouse.across_tenants.select_related("tenant").order_by("tenant__slug")
        warehouses = list(rows if every else rows.filter(tenant__slug__in=slugs))
        missing = set(slugs) - {warehouse.tenant.slug for warehouse in warehouses}
        if missing:
            raise CommandError(f"These tenants have no warehouse: {', '.join(sorted(missing))}.")
        return warehouses

    def _succeeds(self, warehouse: Warehouse, act: Any) -> bool:
        try:
            act(warehouse)
        except WarehouseError as error:
            self.stderr.write(f"{warehouse}: {error}")
            return False
        return True
