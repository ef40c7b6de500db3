"""``python -m millrace.embedded up | down | status | env | logs NAME``."""

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
    """Run a command; the exit code."""
    given = _parser().parse_args(arguments)
    try:
        code: int = given.run(given)
    except (EmbeddedError, ports.NoFreePort) as error:
        _say(str(error), sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m millrace.embedded", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start, and stay until Ctrl-C")
    up.add_argument(
        "--only", type=_names, help=f"a part alone, comma-separated, of: {', '.join(NAMES)}"
    )
    up.add_argument("--detach", action="store_true", help="return as soon as all of it serves")
    up.set_defaults(run=_up)
    down = commands.add_parser("down", help="stop everything")
    down.set_defaults(run=_down)
    status = commands.add_parser("status", help="what runs, and where")
    status.set_defaults(run=_status)
    env = commands.add_parser("env", help="where it answers, as a shell's variables")
    env.set_defaults(run=_env)
    logs = commands.add_parser("logs", help="follow a program's log")
    logs.add_argument("name", choices=(*NAMES, "epmd", "supervisord"))
    logs.set_defaults(run=_logs)
    return parser


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(NAMES)}")
    return names


def _up(given: argparse.Namespace) -> int:
    # Also where it was started in the background of a script, which ignores the first.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    stack = Stack(service_urls.home(), given.only or everything())
    if given.only:
        return _run(stack, stay=not given.detach)
    return _run(stack, stay=not given.detach, migrate=True)


def everything() -> tuple[str, ...]:
    """All that this machine must and can run itself."""
    services = missing_services.services(missing_services.environment())
    reason = RabbitMQ(service_urls.home()).why_unavailable()
    if "rabbitmq" in services and reason:
        _say(f"{reason} Going on without it.")
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
        _say("Ctrl-C stops it.")
        return _stay(stack)
    except BaseException:
        _stop(stack)
        raise


def bring_up(stack: Stack, *, migrate: bool) -> None:
    """Services, then the schema, then Millrace's own processes. Raises EmbeddedError."""
    stack.start([name for name in stack.names if name not in PROCESSES])
    if migrate:
        install(stack.home)
    stack.start([name for name in stack.names if name in PROCESSES])


def _stay(stack: Stack) -> int:
    # Not a wait for the child: it may have been started by an earlier `up --detach`.
    while stack.supervisor_pid is not None:
        time.sleep(_WATCH_SECONDS)
    _stop(stack)
    _say(f"supervisord ended, so all else was stopped. See {stack.home / 'logs'}.", sys.stderr)
    return 1


def _stop(stack: Stack) -> None:
    """Stop all of it; a second Ctrl-C does not leave half of it behind."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _say("Stopping ...")
    stack.stop()
    _say("Stopped.")


def _down(given: argparse.Namespace) -> int:
    stack = Stack(service_urls.home())
    stack.stop()
    _say("Stopped.")
    return 0


def _status(given: argparse.Namespace) -> int:
    stack = Stack(service_urls.home())
    states = stack.states()
    if not states:
        _say(f"Nothing runs in {stack.home}. Start it with: make up")
        return 3
    _show(stack)
    return 0 if all(state in {"RUNNING", "STOPPED"} for state in states.values()) else 1


def _env(given: argparse.Namespace) -> int:
    """For ``eval``. The variables of settings are not among them: they would replace services."""
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


def _logs(given: argparse.Namespace) -> int:
    path = service_urls.home() / "logs" / f"{given.name}.log"
    if not path.exists():
        _say(f"{given.name} has not run yet: there is no {path}.", sys.stderr)
        return 1
    return subprocess.run(["tail", "-n", "100", "-F", str(path)], check=False).returncode


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str, stream: TextIO | None = None) -> None:
    print(text, file=stream or sys.stdout, flush=True)
