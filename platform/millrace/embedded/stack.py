"""Starts components in order, waits until they serve, and stops them in reverse order."""

from __future__ import annotations

import os
import signal
import threading
import time
import xmlrpc.client
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from millrace.embedded import files, ports, processes, service_urls
from millrace.embedded.clickhouse_process import ClickHouse
from millrace.embedded.component import Component, NotReady
from millrace.embedded.errors import DidNotStart, Unavailable
from millrace.embedded.postgres import Postgres
from millrace.embedded.rabbitmq import RabbitMQ
from millrace.embedded.supervision import Supervisor, Unreachable, tail
from millrace.embedded.valkey import Valkey
from millrace.embedded.workers import BackfillWorker, Beat, DefaultWorker, IngestWorker, Web

SERVICES = ("postgres", "clickhouse", "valkey", "kafka", "rabbitmq")
PROCESSES = ("web", "worker-default", "worker-ingest", "worker-backfill", "beat")
#: The names of all components, in the order they start.
NAMES = SERVICES + PROCESSES

#: supervisord's states of a program that has a process, or is about to have one.
_RUNNING = ("STARTING", "RUNNING", "BACKOFF", "STOPPING")
_POLL_SECONDS = 0.1


def _component(name: str, home: Path) -> Component:
    if name == "kafka":
        # Imported late, because its module imports jgo, which nothing else needs.
        from millrace.embedded.kafka import Kafka

        return Kafka(home)
    kinds: tuple[type[Component], ...] = (
        Postgres,
        ClickHouse,
        Valkey,
        RabbitMQ,
        Web,
        DefaultWorker,
        BackfillWorker,
        IngestWorker,
        Beat,
    )
    return {kind.name: kind for kind in kinds}[name](home)


class Stack:
    """Some or all components of the installation in ``home``.

    As a context manager it starts on entry and stops the whole installation on exit. Several
    processes may have stacks of the same home; each start adds what is not running yet.
    """

    def __init__(self, home: Path, programs: Sequence[str] = NAMES) -> None:
        unknown = set(programs) - set(NAMES)
        if unknown:
            raise ValueError(f"Unknown: {', '.join(unknown)}. Choose from {', '.join(NAMES)}.")
        self.home = Path(home).resolve()
        self.names = tuple(name for name in NAMES if name in programs)
        self._supervisor = Supervisor(self.home)
        self._cancelled = threading.Event()

    # --- Start --------------------------------------------------------------------------------

    def start(self, names: Sequence[str] | None = None) -> None:
        """Start those of ``names`` that are not running, and wait until they serve.

        By default, ``names`` are all of the stack's. Raises Unavailable, Altered, DidNotStart;
        components that have started keep running.
        """
        chosen = [name for name in NAMES if name in (self.names if names is None else names)]
        self._make_home()
        with files.locked(self.home / ".stack.lock"):
            components = {name: _component(name, self.home) for name in chosen}
            self._refuse_unavailable(components.values())
            self._bring_up_supervisor()
            states = self._supervisor.states()
            todo = {name for name, part in components.items() if not _runs(part, states)}
            self._settle_ports(components[name] for name in todo)
            self._supervisor.configure(self._all_programs())
            for tier in (SERVICES, PROCESSES):
                tasks = [
                    (part, self._bring_up if name in todo else self._await)
                    for name, part in components.items()
                    if name in tier
                ]
                self._in_parallel(tasks)

    def _make_home(self) -> None:
        # 0711, so that PostgreSQL's user can reach its folder if root starts it. Files with secrets
        # are not readable to that user.
        with files.written(self.home):
            self.home.mkdir(mode=0o711, parents=True, exist_ok=True)

    @staticmethod
    def _refuse_unavailable(components: Iterable[Component]) -> None:
        for component in components:
            reason = component.why_unavailable()
            if reason:
                raise Unavailable(reason)

    def _bring_up_supervisor(self) -> None:
        if self._supervisor.pid is not None and self._supervisor.states():
            return
        # Left by a supervisord that was killed, or a supervisord that no longer answers.
        processes.end(processes.of(self.home))
        ports.replace_taken(self.home, ports.NAMES)
        self._supervisor.configure(self._all_programs())
        self._supervisor.launch()

    def _settle_ports(self, todo: Iterable[Component]) -> None:
        ports.replace_taken(self.home, [port for component in todo for port in component.ports])

    def _all_programs(self) -> list[Any]:
        components = [_component(name, self.home) for name in NAMES]
        return [program for component in components for program in component.programs()]

    def _in_parallel(self, tasks: Sequence[tuple[Component, Callable[[Component], None]]]) -> None:
        if not tasks:
            return
        try:
            with ThreadPoolExecutor(len(tasks)) as pool:
                futures = [pool.submit(task, component) for component, task in tasks]
                try:
                    for future in futures:
                        future.result()
                except BaseException:
                    self._cancelled.set()
                    raise
        finally:
            # All have ended, so the next start may begin.
            self._cancelled.clear()

    def _bring_up(self, component: Component) -> None:
        component.prepare()
        *helpers, main = component.programs()
        for helper in helpers:
            self._launch(helper.name)
        self._launch(main.name)
        self._await(component)
        component.complete()

    def _launch(self, name: str) -> None:
        try:
            self._supervisor.rpc.startProcess(name, False)
        except xmlrpc.client.Fault as fault:
            if "ALREADY_STARTED" not in fault.faultString:
                raise DidNotStart(
                    f"{name} can't be started: {fault.faultString}\n{self.tail(name)}"
                ) from fault

    def _await(self, component: Component) -> None:
        program = component.programs()[-1].name
        deadline = time.monotonic() + component.start_seconds
        reason: Exception | None = None
        while not self._cancelled.is_set():
            state = self._supervisor.states().get(program, {}).get("statename")
            # supervisord restarts a program that has exited; FATAL says that it gave up.
            if state == "FATAL" or time.monotonic() > deadline:
                raise DidNotStart(
                    f"{program} is not ready ({state}; {reason}). The last lines of its log, "
                    f"{self._supervisor.log(program)}:\n{self.tail(program)}"
                )
            try:
                component.check()
            except (NotReady, OSError) as error:
                reason = error
            else:
                if state == "RUNNING" or component.ports:
                    return
            time.sleep(_POLL_SECONDS)
        raise DidNotStart(f"{program} was not started because another component failed.")

    # --- Stop ---------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop the whole installation: processes, services, supervisord, and any leftovers."""
        self._cancelled.set()
        for tier in (PROCESSES, SERVICES):
            self._stop(self._program_names(tier))
        self._supervisor.shut_down()
        processes.end(processes.of(self.home))
        self._cancelled.clear()

    def _program_names(self, names: Iterable[str]) -> list[str]:
        """The programs in the order to stop them: last started, first stopped."""
        components = [_component(name, self.home) for name in names]
        return [
            program.name for component in components for program in reversed(component.programs())
        ]

    def _stop(self, programs: Sequence[str]) -> None:
        running = {
            name
            for name, state in self._supervisor.states().items()
            if name in programs and state["statename"] in _RUNNING
        }
        # epmd, the port mapper, stops after the broker that is registered in it.
        for group in (running - {"epmd"}, running & {"epmd"}):
            for name in group:
                with suppress(xmlrpc.client.Fault, *Unreachable):
                    self._supervisor.rpc.stopProcess(name, False)
            while self._any_running(group):
                time.sleep(_POLL_SECONDS)

    def _any_running(self, programs: Iterable[str]) -> bool:
        states = self._supervisor.states()
        return any(states[name]["statename"] in _RUNNING for name in programs if name in states)

    # --- Single components --------------------------------------------------------------------

    def halt(self, *names: str) -> None:
        """Stop these components normally, one after the other; the others keep running."""
        for name in names:
            self._stop(self._program_names([name]))

    def restart(self, name: str) -> None:
        """Stop one component normally, start it, and wait until it serves."""
        self.halt(name)
        self.start([name])

    def kill(self, name: str) -> None:
        """``kill -9`` one component; supervisord restarts it."""
        pid = self.pid(name)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    def pid(self, name: str) -> int | None:
        """The process id of a component; None if it is not running."""
        state = self._supervisor.states().get(name)
        return state["pid"] or None if state else None

    def wait(self, name: str) -> None:
        """Wait until a component serves, for example after ``kill``. Raises DidNotStart."""
        self._await(_component(name, self.home))

    def tail(self, name: str, lines: int = 15) -> str:
        """The last lines of a program's log."""
        return tail(self._supervisor.log(name), lines)

    # --- State --------------------------------------------------------------------------------

    @property
    def urls(self) -> dict[str, str]:
        """The URLs of the services; see ``service_urls.urls``."""
        return service_urls.urls(self.home)

    @property
    def supervisor_pid(self) -> int | None:
        """Supervisord's process id; None if it is not running."""
        return self._supervisor.pid

    def states(self) -> dict[str, str]:
        """Supervisord's state of each program, such as RUNNING, STOPPED, FATAL."""
        return {name: info["statename"] for name, info in self._supervisor.states().items()}

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _runs(component: Component, states: dict[str, dict[str, Any]]) -> bool:
    return all(
        states.get(program.name, {}).get("statename") in _RUNNING
        for program in component.programs()
    )
