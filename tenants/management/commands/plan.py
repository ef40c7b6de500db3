"""``manage.py plan``: list, create and change plans, and give them to tenants."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils import timezone

from tenants.audit.command import ChangingCommand
from tenants.models import LIMITS, Plan, Tenant
from tenants.plans.allowance import PlanLimits, look_up, used
from tenants.services import plans


class Command(ChangingCommand):
    help = "List, create or change plans, give one to a tenant, or show a tenant's limits."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        listing = actions.add_parser("list", help="list all plans with their limits and tenants")
        listing.add_argument("--json", action="store_true", help="Print one JSON array.")
        setting = actions.add_parser("set", help="create a plan, or change a plan's limits")
        setting.add_argument("name", help="the plan's name")
        for limit in LIMITS:
            help_text = str(getattr(Plan._meta.get_field(limit), "help_text", ""))
            option = f"--{limit.replace('_', '-')}"
            setting.add_argument(option, dest=limit, type=_limit, metavar="N", help=help_text)
        setting.epilog = "The value 'none' removes a limit. Limits that you leave out don't change."
        giving = actions.add_parser("give", help="give a tenant a plan, or take its plan away")
        giving.add_argument("tenant", help="the tenant's slug")
        giving.add_argument("name", nargs="?", help="the plan's name; leave it out for no plan")
        showing = actions.add_parser("show", help="show a tenant's limits and today's usage")
        showing.add_argument("tenant", help="the tenant's slug")

    def handle(self, *_: Any, **options: Any) -> None:
        getattr(self, f"_{options['action']}")(options)

    def _list(self, options: dict[str, Any]) -> None:
        plans = Plan.objects.prefetch_related("tenants")
        if options["json"]:
            documents = [
                {"name": plan.name, **asdict(PlanLimits.of(plan)), "tenants": _slugs(plan)}
                for plan in plans
            ]
            self.stdout.write(json.dumps(documents, indent=2))
            return
        for plan in plans:
            self.stdout.write(f"{plan.name}: {_words(PlanLimits.of(plan))}")
            self.stdout.write(f"  tenants: {', '.join(_slugs(plan)) or 'none'}")
        if not plans:
            self.stdout.write("There are no plans yet. Create one: manage.py plan set NAME …")

    def _set(self, options: dict[str, Any]) -> None:
        limits = {
            name: None if options[name] == _NONE else options[name]
            for name in LIMITS
            if options[name] is not None
        }
        try:
            plan = plans.make_plan(options["name"], limits)
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from None
        self.stdout.write(f"{plan.name}: {_words(PlanLimits.of(plan))}")

    def _give(self, options: dict[str, Any]) -> None:
        tenant = _tenant(options["tenant"])
        plan = _plan(options["name"]) if options["name"] else None
        plans.give_plan(tenant, plan)
        self.stdout.write(f"{tenant.slug}: {plan.name if plan else 'no plan'}")

    def _show(self, options: dict[str, Any]) -> None:
        tenant = _tenant(options["tenant"])
        granted = look_up(tenant.pk, timezone.now())
        self.stdout.write(f"{tenant.slug}: {granted.plan or 'no plan'}")
        self.stdout.write(f"  limits: {_words(granted.limits)}")
        today = asdict(used(tenant.pk, granted.day))
        self.stdout.write(f"  today: {', '.join(f'{name} {n:,}' for name, n in today.items())}")
        hold = getattr(tenant, "ingestion_hold", None)
        if hold is not None:
            self.stdout.write(f"  held: {hold.reason}")


_NONE = "none"


def _limit(text: str) -> int | str:
    return text if text == _NONE else int(text.replace("_", "").replace(",", ""))


def _words(limits: PlanLimits) -> str:
    words = [f"{name} {value:,}" for name, value in asdict(limits).items() if value is not None]
    return ", ".join(words) or "no limits"


def _slugs(plan: Plan) -> list[str]:
    return sorted(tenant.slug for tenant in plan.tenants.all())


def _tenant(slug: str) -> Tenant:
    tenant = Tenant.objects.filter(slug=slug).select_related("ingestion_hold").first()
    if tenant is None:
        known = ", ".join(Tenant.objects.values_list("slug", flat=True)[:20]) or "none yet"
        msg = f"There is no tenant {slug!r}. Tenants: {known}."
        raise CommandError(msg)
    return tenant


def _plan(name: str) -> Plan:
    plan = Plan.objects.filter(name=name).first()
    if plan is None:
        known = ", ".join(Plan.objects.values_list("name", flat=True)) or "none yet"
        msg = f"There is no plan {name!r}. Plans: {known}."
        raise CommandError(msg)
    return plan
