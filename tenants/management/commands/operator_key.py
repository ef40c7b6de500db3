from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from tenants.audit.command import ChangingCommand
from tenants.management.arguments import moment
from tenants.services.operator_keys import create_operator_key, revoke_operator_key


class Command(ChangingCommand):
    help = "Create a key for the operators' API and print it, once, or revoke a key."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", default="command line", help="who or what uses the key")
        parser.add_argument(
            "--expires", type=moment, metavar="TIME", help="when the key expires (UTC)"
        )
        parser.add_argument("--revoke", metavar="PREFIX", help="revoke the key with this prefix")

    def handle(self, *_: Any, **options: Any) -> None:
        if options["revoke"]:
            self._revoke(options["revoke"].removeprefix("op_mr_"))
            return
        key, plaintext = create_operator_key(options["name"], expires_at=options["expires"])
        self.stdout.write(plaintext)
        self.stderr.write(
            "Copy it now: it can't be shown again. It can suspend, export and delete every tenant. "
            f"Revoke it with: manage.py operator_key --revoke {key.prefix}"
        )

    def _revoke(self, prefix: str) -> None:
        if not revoke_operator_key(prefix):
            msg = f"No active operator's key has the prefix {prefix!r}."
            raise CommandError(msg)
        self.stdout.write(f"{prefix} was revoked.")
