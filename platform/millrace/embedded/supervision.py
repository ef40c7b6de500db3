"""Configures, starts and controls supervisord."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

from millrace.embedded import files, installation_secrets, ports, processes, service_urls
from millrace.embedded.component import Program, connect
from millrace.embedded.errors import DidNotStart

# All paths are relative to the home folder, where supervisord runs. In its configuration file " #"
# begins a comment, "%" an expansion, and a quotation mark ends a value, and a folder's name may
# contain any of these.
_DAEMON = """\
[supervisord]
logfile=logs/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
pidfile=run/supervisord.pid
identifier=millrace
minfds=4096
{user}
[inet_http_server]
port={host}:{port}
username=millrace
password={password}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

_PROGRAM = """
[program:{name}]
command=/bin/sh run/{name}.sh
priority={priority}
autostart=false
autorestart=true
startsecs=1
startretries=20
stopsignal={stop_signal}
stopwaitsecs={stop_seconds}
killasgroup=true
redirect_stderr=true
stdout_logfile=logs/{name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
"""

_SCRIPT = """\
cd -- {directory} || exit
exec env -- {assignments} {command}
"""

#: Errors of a call while supervisord starts, stops, or is killed.
Unreachable = (OSError, HTTPException, xmlrpc.client.ProtocolError)


class Supervisor:
    """The supervisord of the installation in ``home``, no matter which process started it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._config = home / "run" / "supervisord.conf"
        self._pid_file = home / "run" / "supervisord.pid"

    @property
    def pid(self) -> int | None:
        """Its process id; None if it is not running or the id belongs to another program."""
        try:
            pid = int(self._pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if processes.belongs(pid, self.home) else None

    @property
    def rpc(self) -> Any:
        """A new XML-RPC client for each use, because threads must not share one."""
        password = installation_secrets.read(self.home)["supervisor"]
        port = ports.read(self.home)["supervisor"]
        address = f"http://millrace:{password}@{service_urls.HOST}:{port}/RPC2"
        return xmlrpc.client.ServerProxy(address, allow_none=True).supervisor

    def configure(self, programs: Iterable[Program]) -> None:
        """Write the configuration. A running supervisord reloads it for stopped programs."""
        daemon = _DAEMON.format(
            host=service_urls.HOST,
            port=ports.read(self.home)["supervisor"],
            password=installation_secrets.read(self.home)["supervisor"],
            user="user=root\n" if os.geteuid() == 0 else "",
        )
        # The lowest priority starts first, and stops last if supervisord itself is asked to end.
        sections = [self._section(program, 100 + n) for n, program in enumerate(programs)]
        files.write_text(self._config, daemon + "".join(sections))
        if self.pid is not None:
            self._reload()

    def _section(self, program: Program, priority: int) -> str:
        """The program's section. Its command goes into a script, quoted for the shell."""
        script = _SCRIPT.format(
            directory=shlex.quote(str(program.directory)),
            assignments=shlex.join(
                f"{name}={value}" for name, value in program.environment.items()
            ),
            command=shlex.join(program.command),
        )
        files.write_text(self.home / "run" / f"{program.name}.sh", script)
        return _PROGRAM.format(
            name=program.name,
            priority=priority,
            stop_signal=program.stop_signal,
            stop_seconds=program.stop_seconds,
        )

    def _reload(self) -> None:
        added, changed, _ = self.rpc.reloadConfig()[0]
        for name in changed:
            # Removing a running program fails. It keeps its old configuration until it restarts.
            with suppress(xmlrpc.client.Fault):
                self.rpc.removeProcessGroup(name)
                self.rpc.addProcessGroup(name)
        for name in added:
            self.rpc.addProcessGroup(name)

    def launch(self) -> None:
        """Start supervisord in a new session, so that the terminal's Ctrl-C does not reach it."""
        for folder in ("run", "logs"):
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        output = self.home / "logs" / "supervisord.out"
        with output.open("w") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd=self.home,
                env={**os.environ, processes.MARK: str(self.home)},
                start_new_session=True,
            )
        deadline = time.monotonic() + 20
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise DidNotStart(f"supervisord did not start:\n{tail(output)}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            connect(ports.read(self.home)["supervisor"])
        except OSError:
            return False
        return self.pid is not None

    def states(self) -> dict[str, dict[str, Any]]:
        """Supervisord's information about each program, by name; empty if it is not running."""
        if self.pid is None:
            return {}
        try:
            return {info["name"]: info for info in self.rpc.getAllProcessInfo()}
        except Unreachable:
            return {}

    def shut_down(self, seconds: float = 60.0) -> None:
        """End supervisord, which stops running programs first; waits up to ``seconds``."""
        pid = self.pid
        if pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while processes.belongs(pid, self.home) and time.monotonic() < deadline:
            _reap(pid)
            time.sleep(0.05)

    def log(self, name: str) -> Path:
        """The log file of a program."""
        return self.home / "logs" / f"{name}.log"


def _reap(pid: int) -> None:
    # Works if the process is our own child; otherwise its parent reaps it.
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log file."""
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return "(it wrote nothing)"
    return "\n".join(text.splitlines()[-lines:]) or "(it wrote nothing)"
