"""Starts, stops and shows the embedded services and Millrace's own processes."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import TextIO

from millrace.embedded import installation_secrets, missing_services, ports, service_urls
from millrace.embedded.errors import EmbeddedError
from millrace.embedded.install import ADMIN, install
from millrace.embedded.rabbitmq import RabbitMQ
from millrace.embedded.stack import NAMES, PROCESSES, Stack

_WATCH_SECONDS = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except (EmbeddedError, ports.NoFreePort) as error:
        _say(str(error), sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m millrace.embedded", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start everything and run until Ctrl-C")
    up.add_argument(
        "--only", type=_names, help=f"start only these, comma-separated: {', '.join(NAMES)}"
    )
    up.add_argument("--detach", action="store_true", help="return as soon as everything is ready")
    up.set_defaults(run=_up)
    down = commands.add_parser("down", help="stop everything")
    down.set_defaults(run=_down)
    status = commands.add_parser("status", help="show what runs, and on which ports")
    status.set_defaults(run=_status)
    env = commands.add_parser("env", help="print the addresses as shell variables")
    env.set_defaults(run=_env)
    logs = commands.add_parser("logs", help="follow a program's log")
    logs.add_argument("name", choices=(*NAMES, "epmd", "supervisord"))
    logs.set_defaults(run=_logs)
    return parser


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"unknown: {', '.join(unknown)}. Choose from {', '.join(NAMES)}."
        )
    return names


def _up(options: argparse.Namespace) -> int:
    # A shell script starts background commands with SIGINT ignored; this handler undoes that.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    stack = Stack(service_urls.home(), options.only or everything())
    if options.only:
        return _run(stack, stay=not options.detach)
    return _run(stack, stay=not options.detach, migrate=True)


def everything() -> tuple[str, ...]:
    """The services without a URL that can run on this machine, and Millrace's processes."""
    services = missing_services.services(missing_services.environment())
    reason = RabbitMQ(service_urls.home()).why_unavailable()
    if "rabbitmq" in services and reason:
        _say(f"{reason} Continuing without it.")
        services = tuple(name for name in services if name != "rabbitmq")
    return services + PROCESSES


def _run(stack: Stack, *, stay: bool, migrate: bool = False) -> int:
    began = time.monotonic()
    try:
        bring_up(stack, migrate=migrate)
        _say(f"Up after {time.monotonic() - began:.1f} s.")
        _show(stack)
        if not stay:
            return 0
        _say("Press Ctrl-C to stop.")
        return _stay(stack)
    except BaseException:
        _stop(stack)
        raise


def bring_up(stack: Stack, *, migrate: bool) -> None:
    """Start services, migrate the database, start Millrace's processes. Raises EmbeddedError."""
    stack.start([name for name in stack.names if name not in PROCESSES])
    if migrate:
        install(stack.home)
    stack.start([name for name in stack.names if name in PROCESSES])


def _stay(stack: Stack) -> int:
    # Polls instead of waiting for a child: an earlier `up --detach` may have started supervisord.
    while stack.supervisor_pid is not None:
        time.sleep(_WATCH_SECONDS)
    _stop(stack)
    logs = stack.home / "logs"
    _say(f"supervisord ended, so everything else was stopped. See {logs}.", sys.stderr)
    return 1


def _stop(stack: Stack) -> None:
    """Stop everything, ignoring a second Ctrl-C, so that nothing is left half stopped."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _say("Stopping ...")
    stack.stop()
    _say("Stopped.")


def _down(options: argparse.Namespace) -> int:
    stack = Stack(service_urls.home())
    stack.stop()
    _say("Stopped.")
    return 0


def _status(options: argparse.Namespace) -> int:
    stack = Stack(service_urls.home())
    states = stack.states()
    if not states:
        _say(f"Nothing runs in {stack.home}. Start it with: make up")
        return 3
    _show(stack)
    return 0 if all(state in {"RUNNING", "STOPPED"} for state in states.values()) else 1


def _env(options: argparse.Namespace) -> int:
    """Print variables for a shell's ``eval``.

    The settings' own variables, such as DATABASE_URL, are not among them: if they were set,
    Millrace would no longer start the services that they name.
    """
    urls = service_urls.urls()
    _say(f"export MILLRACE_URL={urls['WEB_URL']}")
    for name, value in service_urls.brokers().items():
        _say(f"export {name}={value}")
    return 0


def _show(stack: Stack) -> None:
    number = ports.read(stack.home)
    for name, state in stack.states().items():
        if state == "STOPPED":
            continue
        place = f"{service_urls.HOST}:{number[name]}" if name in number else ""
        _say(f"  {name:<15} {state:<9} {place}")
    if stack.pid("rabbitmq"):
        _say(f"  RabbitMQ: {stack.urls['RABBITMQ_URL']}")
    if stack.pid("web"):
        password = installation_secrets.read(stack.home)["admin"]
        _say(f"  Admin: {stack.urls['WEB_URL']}/admin/ as {ADMIN}, first password {password}")


def _logs(options: argparse.Namespace) -> int:
    path = service_urls.home() / "logs" / f"{options.name}.log"
    if not path.exists():
        _say(f"{options.name} has not run yet: {path} does not exist.", sys.stderr)
        return 1
    return subprocess.run(["tail", "-n", "100", "-F", str(path)], check=False).returncode


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str, stream: TextIO | None = None) -> None:
    print(text, file=stream or sys.stdout, flush=True)
