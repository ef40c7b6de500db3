from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings

from millrace.security.login import unlock
from tenants.audit import record
from tenants.audit.command import ChangingCommand


class Command(ChangingCommand):
    help = "Let an account, or an address, try to log in again at once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("username", nargs="?", default="", help="whose failures are forgotten")
        which.add_argument("--address", default="", help="the IP address whose they are")

    def handle(self, *_: Any, **options: Any) -> None:
        name, address = options["username"], options["address"]
        found = unlock(settings.CACHES["default"]["LOCATION"], name=name, address=address)
        if found:
            record("login.unlock", None, tenant=None, detail={"who": name or address})
        words = "may try again" if found else "was not counted"
        self.stdout.write(f"{name or address} {words}.")
