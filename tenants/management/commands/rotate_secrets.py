from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from tenants.audit.command import ChangingCommand
from tenants.services.reencryption import UNKNOWN, in_use, key_id, rotate


class Command(ChangingCommand):
    help = "Encrypt every stored secret by the first of MILLRACE_ENCRYPTION_KEYS."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="only say which keys are in use, and how often"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        if options["check"]:
            self._check()
            return
        lost = 0
        for one in rotate():
            self.stdout.write(f"{one.field}: {one.rotated} encrypted anew")
            lost += one.lost
        if lost:
            msg = (
                f"{lost} secrets were encrypted by a key that MILLRACE_ENCRYPTION_KEYS does not "
                "have. Put that key back at its end and repeat this, or enter them again."
            )
            raise CommandError(msg)
        self.stdout.write("All secrets are encrypted by the first key; the others can be dropped.")

    def _check(self) -> None:
        used = in_use()
        for number, key in enumerate(settings.MILLRACE_ENCRYPTION_KEYS, start=1):
            total = sum(counts[key_id(key)] for counts in used.values())
            self.stdout.write(f"key {number} ({key_id(key)}): {total} secrets")
        unknown = sum(counts[UNKNOWN] for counts in used.values())
        if unknown:
            msg = f"{unknown} secrets can be opened by none of these keys."
            raise CommandError(msg)
