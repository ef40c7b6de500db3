from __future__ import annotations

import os
import signal
import sys
import time
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from millrace.configuration.errors import ConfigurationError
from millrace.demo.progress import Stalled
from millrace.demo.run import Demo
from millrace.embedded import service_urls
from millrace.embedded.cli import bring_up, everything
from millrace.embedded.errors import EmbeddedError
from millrace.embedded.stack import Stack


class Command(BaseCommand):
    help = "Stream real flights and weather data through embedded services, then keep running."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check",
            action="store_true",
            help="compare the tables with the files, run every printed line, then stop; "
            "fails if anything differs",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        signal.signal(signal.SIGTERM, _interrupt)
        width = None if self.stdout.isatty() else 160
        console = Console(file=self.stdout, width=width)  # type: ignore[arg-type]
        stack = Stack(service_urls.home(), everything())
        try:
            self._run(stack, console, check=options["check"])
        except KeyboardInterrupt:
            console.print("Interrupted.")
        except (EmbeddedError, ConfigurationError, Stalled) as error:
            raise CommandError(f"{error}\nThe logs are in {stack.home / 'logs'}.") from error
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            console.print("Stopping ...")
            stack.stop()
            console.print("Stopped. The data is kept: the next `make demo` continues from here.")

    def _run(self, stack: Stack, console: Console, *, check: bool) -> None:
        began, known = time.monotonic(), service_urls.urls()
        console.print(f"Starting {', '.join(stack.names)} ...")
        bring_up(stack, migrate=True)
        if service_urls.urls() != known:
            # A port was taken, so the addresses that the settings have read are out of date.
            os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606 - this same program
        console.print(f"Up after {time.monotonic() - began:.1f} s.")
        demo = Demo(stack, console)
        demo.prepare()
        streamed = demo.stream()
        demo.show(streamed)
        if check:
            self._check(demo, console)
            return
        console.print("\nPress Ctrl-C to stop everything.")
        while stack.supervisor_pid is not None:
            time.sleep(1)

    def _check(self, demo: Demo, console: Console) -> None:
        wrong = [*demo.leftovers(), *demo.check()]
        if wrong:
            raise CommandError("The check failed:\n" + "\n".join(wrong))
        console.print("\nThe check passed: every row, sum and printed line matches the files.")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
