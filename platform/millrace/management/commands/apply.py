from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from millrace.configuration.apply import apply
from millrace.configuration.changes import Change
from millrace.configuration.errors import ConfigurationError, NotYetMade
from tenants.audit.command import ChangingCommand


class Command(ChangingCommand):
    help = "Create or change tenants, connections, tables, sources and queries to match YAML files."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "files", nargs="+", type=Path, metavar="FILE", help="a YAML configuration file"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would change without changing it"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            count = apply(options["files"], self._tell, dry_run=options["dry_run"])
        except NotYetMade as error:
            msg = f"Everything is saved, but ClickHouse does not have all of it yet:\n{error}"
            raise CommandError(msg) from error
        except ConfigurationError as error:
            raise CommandError(f"{error}\nNothing was changed.") from error
        if not count:
            self.stdout.write("Nothing to do: everything already matches the files.")
        elif options["dry_run"]:
            self.stdout.write(f"{_changes(count)} would be made. Nothing was changed.")
        else:
            self.stdout.write(f"{_changes(count)} {'was' if count == 1 else 'were'} made.")

    def _tell(self, change: Change) -> None:
        for line in change.lines():
            self.stdout.write(line)


def _changes(count: int) -> str:
    return "1 change" if count == 1 else f"{count} changes"
