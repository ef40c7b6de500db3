from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from tenants.audit.actor import Actor, acting


class ChangingCommand(BaseCommand):
    """The base class of commands that change something; the log names the command and account."""

    def execute(self, *args: Any, **options: Any) -> Any:
        name = type(self).__module__.rpartition(".")[2]
        with acting(Actor.command(name)):
            return super().execute(*args, **options)
