from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from tenants.audit.command import ChangingCommand
from tenants.services.reencryption import UNKNOWN, in_use, key_id, rotate


class Command(ChangingCommand):
    help = "Re-encrypt every stored secret with the first key of MILLRACE_ENCRYPTION_KEYS."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="only count the secrets that each key encrypts"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        if options["check"]:
            self._check()
            return
        lost = 0
        for result in rotate():
            self.stdout.write(f"{result.field}: {result.rotated} re-encrypted")
            lost += result.lost
        if lost:
            msg = (
                f"{lost} secrets are encrypted with a key that MILLRACE_ENCRYPTION_KEYS does not "
                "have. Put that key back at the end of the list and run this again, or enter the "
                "secrets again."
            )
            raise CommandError(msg)
        self.stdout.write(
            "All secrets are encrypted with the first key. You can remove the others."
        )

    def _check(self) -> None:
        used = in_use()
        for number, key in enumerate(settings.MILLRACE_ENCRYPTION_KEYS, start=1):
            total = sum(counts[key_id(key)] for counts in used.values())
            self.stdout.write(f"key {number} ({key_id(key)}): {total} secrets")
        unknown = sum(counts[UNKNOWN] for counts in used.values())
        if unknown:
            msg = f"{unknown} secrets can't be decrypted with any of these keys."
            raise CommandError(msg)
