from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings

from millrace.security.login import unlock
from tenants.audit import record
from tenants.audit.command import ChangingCommand


class Command(ChangingCommand):
    help = "Lift the login limit of an account or an IP address."

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("username", nargs="?", default="", help="the account to unlock")
        which.add_argument("--address", default="", help="the IP address to unlock")

    def handle(self, *_: Any, **options: Any) -> None:
        name, address = options["username"], options["address"]
        counters = unlock(settings.CACHES["default"]["LOCATION"], name=name, address=address)
        if counters:
            record("login.unlock", None, tenant=None, detail={"who": name or address})
            self.stdout.write(f"{name or address} can log in again.")
        else:
            self.stdout.write(f"No failed logins are recorded for {name or address}.")
