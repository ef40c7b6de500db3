"""The table of attacks at the end of a run, put together from xdist's processes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.security import attacks
from tests.security.attacks import Attack
from tests.security.tally import RUN


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of xdist's processes hands over what it tried, as plain values."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["tried"] = [[*place, count] for place, count in RUN.tried.items()]
        output["leaks"] = [
            [wall, attack.kind, attack.what, attack.text, leaked]
            for wall, attack, leaked in RUN.leaks
        ]


def pytest_testnodedown(node: Any) -> None:
    """One of xdist's processes has ended; one that died hands over nothing."""
    output: dict[str, Any] = getattr(node, "workeroutput", {})
    for kind, wall, count in output.get("tried", []):
        RUN.tried[kind, wall] += count
    for wall, kind, what, text, leaked in output.get("leaks", []):
        RUN.leaks.append((wall, Attack(kind, what, text), leaked))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table of what was tried, and every leak."""
    if not RUN.tried:
        return
    distinct = sum(len(attacks.of(kind)) for kind in attacks.kinds())
    terminalreporter.section("attacks on the walls between tenants")
    for line in RUN.table():
        terminalreporter.line(line)
    tried = sum(RUN.tried.values())
    terminalreporter.line(
        f"{distinct} attacks in the corpus, tried {tried} times, leaks: {len(RUN.leaks)}"
    )
    for wall, attack, leaked in RUN.leaks:
        terminalreporter.line(f"  LEAK at {wall}: {attack.what}: {leaked}")
