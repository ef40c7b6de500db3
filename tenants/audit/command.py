from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from tenants.audit.actor import Actor, acting


class ChangingCommand(BaseCommand):
    """A command that changes something: what it records, it did in the name of who ran it."""

    def execute(self, *args: Any, **options: Any) -> Any:
        name = type(self).__module__.rpartition(".")[2]
        with acting(Actor.command(name)):
            return super().execute(*args, **options)
