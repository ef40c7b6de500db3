"""Components together: started in order, waited for, stopped in reverse, and nothing left over."""

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
from millrace.embedded.workers import Beat, DefaultWorker, IngestWorker, Web

SERVICES = ("postgres", "clickhouse", "valkey", "kafka", "rabbitmq")
PROCESSES = ("web", "worker-default", "worker-ingest", "beat")
#: Every name that a stack knows, in the order of start.
NAMES = SERVICES + PROCESSES

#: supervisor's states of a program that has, or is about to have, a process.
_RUNNING = ("STARTING", "RUNNING", "BACKOFF", "STOPPING")
_POLL_SECONDS = 0.1


def _component(name: str, home: Path) -> Component:
    if name == "kafka":
        # Its module imports what downloads jars, which nothing else needs.
        from millrace.embedded.kafka import Kafka

        return Kafka(home)
    kinds: tuple[type[Component], ...] = (
        Postgres,
        ClickHouse,
        Valkey,
        RabbitMQ,
        Web,
        DefaultWorker,
        IngestWorker,
        Beat,
    )
    return {kind.name: kind for kind in kinds}[name](home)


class Stack:
    """Some or all components of the installation in ``home``.

    As a context manager it is started at the beginning and stopped as a whole at the end. Several
    processes may hold stacks of one home; each start adds what does not run yet.
    """

    def __init__(self, home: Path, programs: Sequence[str] = NAMES) -> None:
        unknown = set(programs) - set(NAMES)
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: unknown; there are {', '.join(NAMES)}.")
        self.home = Path(home).resolve()
        self.names = tuple(name for name in NAMES if name in programs)
        self._supervisor = Supervisor(self.home)
        self._cancelled = threading.Event()

    # --- Start --------------------------------------------------------------------------------

    def start(self, names: Sequence[str] | None = None) -> None:
        """Start what does not run of ``names`` (all of the stack's) and wait until it serves.

        Raises Unavailable, Altered, DidNotStart; what has been started stays up.
        """
        wanted = [name for name in NAMES if name in (self.names if names is None else names)]
        self._make_home()
        with files.locked(self.home / ".stack.lock"):
            components = {name: _component(name, self.home) for name in wanted}
            self._refuse_unavailable(components.values())
            self._bring_up_supervisor()
            states = self._supervisor.states()
            todo = {name for name, one in components.items() if not _runs(one, states)}
            self._settle_ports(components[name] for name in todo)
            self._supervisor.configure(self._all_programs())
            for tier in (SERVICES, PROCESSES):
                tasks = [
                    (one, self._bring_up if name in todo else self._await)
                    for name, one in components.items()
                    if name in tier
                ]
                self._in_parallel(tasks)

    def _make_home(self) -> None:
        # PostgreSQL's user may pass where root starts it; files with secrets are closed to it.
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
        # Left by a supervisord that was killed; also one that no longer answers.
        processes.end(processes.of(self.home))
        ports.replace_taken(self.home, ports.NAMES)
        self._supervisor.configure(self._all_programs())
        self._supervisor.launch()

    def _settle_ports(self, todo: Iterable[Component]) -> None:
        ports.replace_taken(self.home, [port for one in todo for port in one.ports])

    def _all_programs(self) -> list[Any]:
        components = [_component(name, self.home) for name in NAMES]
        return [program for one in components for program in one.programs()]

    def _in_parallel(self, tasks: Sequence[tuple[Component, Callable[[Component], None]]]) -> None:
        if not tasks:
            return
        with ThreadPoolExecutor(len(tasks)) as pool:
            futures = [pool.submit(task, one) for one, task in tasks]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                self._cancelled.set()
                raise
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
            # One that has exited is started anew; supervisord gives it up with FATAL.
            if state == "FATAL" or time.monotonic() > deadline:
                raise DidNotStart(
                    f"{program} is not ready ({state}; {reason}). Its log, "
                    f"{self._supervisor.log(program)}, ends:\n{self.tail(program)}"
                )
            try:
                component.check()
            except (NotReady, OSError) as error:
                reason = error
            else:
                if state == "RUNNING" or component.ports:
                    return
            time.sleep(_POLL_SECONDS)
        raise DidNotStart(f"The start of {program} was given up because another one failed.")

    # --- Stop ---------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop everything of the installation: processes, services, supervisord, left-overs."""
        self._cancelled.set()
        for tier in (PROCESSES, SERVICES):
            self._stop(self._program_names(tier))
        self._supervisor.shut_down()
        processes.end(processes.of(self.home))
        self._cancelled.clear()

    def _program_names(self, names: Iterable[str]) -> list[str]:
        """The programs in the order of stop: last started, first stopped."""
        components = [_component(name, self.home) for name in names]
        return [p.name for one in components for p in reversed(one.programs())]

    def _stop(self, programs: Sequence[str]) -> None:
        running = {
            name
            for name, state in self._supervisor.states().items()
            if name in programs and state["statename"] in _RUNNING
        }
        # The port mapper after the broker that is entered in it.
        for group in (running - {"epmd"}, running & {"epmd"}):
            for name in group:
                with suppress(xmlrpc.client.Fault, *Unreachable):
                    self._supervisor.rpc.stopProcess(name, False)
            while self._any_running(group):
                time.sleep(_POLL_SECONDS)

    def _any_running(self, programs: Iterable[str]) -> bool:
        states = self._supervisor.states()
        return any(states[name]["statename"] in _RUNNING for name in programs if name in states)

    # --- One of them --------------------------------------------------------------------------

    def halt(self, *names: str) -> None:
        """Stop these components as usual, one after the other; the others go on."""
        for name in names:
            self._stop(self._program_names([name]))

    def restart(self, name: str) -> None:
        """Stop one component as usual, start it and wait until it serves."""
        self.halt(name)
        self.start([name])

    def kill(self, name: str) -> None:
        """``kill -9`` one component; supervisor starts it anew."""
        pid = self.pid(name)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    def pid(self, name: str) -> int | None:
        """The process of a component; None when it does not run."""
        state = self._supervisor.states().get(name)
        return state["pid"] or None if state else None

    def wait(self, name: str) -> None:
        """Wait until a component serves, for example after ``kill``. Raises DidNotStart."""
        self._await(_component(name, self.home))

    def tail(self, name: str, lines: int = 15) -> str:
        """The last lines of a program's log."""
        return tail(self._supervisor.log(name), lines)

    # --- Looks --------------------------------------------------------------------------------

    @property
    def urls(self) -> dict[str, str]:
        """The URLs of the services; see addresses.urls."""
        return service_urls.urls(self.home)

    @property
    def supervisor_pid(self) -> int | None:
        """Supervisord's process; None when it does not run."""
        return self._supervisor.pid

    def states(self) -> dict[str, str]:
        """Supervisor's word for each program's state, such as RUNNING, STOPPED, FATAL."""
        return {name: one["statename"] for name, one in self._supervisor.states().items()}

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
