from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from tenants.audit.command import ChangingCommand
from tenants.management.arguments import moment
from tenants.services.operator_keys import create_operator_key, revoke_operator_key


class Command(ChangingCommand):
    help = "Make a key for the operators' API and print it, once; or revoke one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", default="command line", help="who or what uses the key")
        parser.add_argument("--expires", type=moment, metavar="TIME", help="when it ends (UTC)")
        parser.add_argument("--revoke", metavar="PREFIX", help="revoke the key of that beginning")

    def handle(self, *_: Any, **options: Any) -> None:
        if options["revoke"]:
            self._revoke(options["revoke"].removeprefix("op_mr_"))
            return
        made, plaintext = create_operator_key(options["name"], expires_at=options["expires"])
        self.stdout.write(plaintext)
        self.stderr.write(
            "Keep it now: it can't be shown again. It opens every tenant's lifecycle. Revoke it "
            f"with: manage.py operator_key --revoke {made.prefix}"
        )

    def _revoke(self, prefix: str) -> None:
        if not revoke_operator_key(prefix):
            msg = f"There is no operator's key that begins with {prefix!r} and is not revoked."
            raise CommandError(msg)
        self.stdout.write(f"{prefix} is revoked.")
