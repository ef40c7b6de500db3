from __future__ import annotations

import logging
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandError

from millrace.isolation.calling import Calls, OverHttp, Within
from millrace.isolation.leak_check import IsolationReport, Verification
from millrace.isolation.planted import CannotPlant, planted, throw_away
from millrace.isolation.routes import routes
from tenants.audit.command import ChangingCommand
from tenants.models import Tenant, TenantStatus
from tenants.warehouse.errors import WarehouseError


class Command(ChangingCommand):
    help = (
        "Prove that tenants can't see each other: plant rows, call every endpoint with every kind "
        "of key, and fail if an answer shows another tenant's data. Planted objects are removed "
        "afterwards."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "tenant",
            nargs="*",
            help="slugs of two or more active tenants; by default, two temporary ones are created",
        )
        parser.add_argument(
            "--url", help="call the server at this address instead of the code in this process"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            calls: Calls = OverHttp(options["url"]) if options["url"] else Within()
            with _tenants(options["tenant"]) as tenants:
                report = _verified(calls, tenants)
        except (CannotPlant, WarehouseError, ValueError, OSError) as error:
            raise CommandError(str(error)) from error
        self._tell(report)

    def _tell(self, report: IsolationReport) -> None:
        for endpoint, count in sorted(report.calls.items()):
            self.stdout.write(f"{count:>6}  {endpoint}")
        self.stdout.write(f"{report.statements:>6}  statements run directly in ClickHouse")
        for failure in report.failures:
            self.stderr.write(f"FAILED  {failure}")
        total = sum(report.calls.values())
        if report.failures:
            msg = f"{len(report.failures)} failures in {total:,} calls: see above."
            raise CommandError(msg)
        self.stdout.write(f"{total:,} calls: no tenant saw another tenant's data.")


def _verified(calls: Calls, tenants: Sequence[Tenant]) -> IsolationReport:
    with (
        _quiet(),
        throw_away(1) as idle,
        planted([*tenants, *idle]) as all_planted,
    ):
        # A tenant must be active while objects are planted in it.
        Tenant.objects.filter(pk=idle[0].pk).update(status=TenantStatus.SUSPENDED)
        return Verification(calls, all_planted[:-1], all_planted[-1:]).run(routes())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep refused requests out of the log: here they are expected."""
    log = logging.getLogger("django.request")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


@contextmanager
def _tenants(slugs: Sequence[str]) -> Iterator[list[Tenant]]:
    if not slugs:
        with throw_away(2) as temporary:
            yield temporary
        return
    tenants = list(Tenant.objects.filter(slug__in=slugs).select_related("warehouse"))
    missing = set(slugs) - {tenant.slug for tenant in tenants}
    if missing:
        msg = f"There is no tenant {', '.join(sorted(missing))}."
        raise CannotPlant(msg)
    if len(tenants) < 2:
        raise CannotPlant("Name two or more tenants, or none to use two temporary ones.")
    idle = [
        tenant.slug
        for tenant in tenants
        if not tenant.is_active or not hasattr(tenant, "warehouse")
    ]
    if idle:
        msg = f"{', '.join(idle)}: suspended, or without a warehouse. Choose active tenants."
        raise CannotPlant(msg)
    yield tenants
