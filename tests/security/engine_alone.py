"""The embedded engine with nothing before it: two tenants' data, and one tenant's rights."""

from __future__ import annotations

import json
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenants.warehouse.errors import StatementFailed, clean
from tenants.warehouse.statements import QueryLimits, grants
from tests.security import users_xml
from tests.security.cast import CANARY, MINE, PREPARED

ROOT = Path(__file__).resolve().parents[2]
EVERYTHING = ("ALL ON *.* WITH GRANT OPTION",)
LIMITS = QueryLimits(
    seconds=5,
    memory_bytes=500_000_000,
    read_rows=1_000_000,
    result_rows=100_000,
    result_bytes=10_000_000,
    threads=1,
)


#: Seconds: above the longest that a query may take.
PATIENCE = 8.0


@dataclass
class Outcome:
    """What a statement gave: a result, or an error.

    ``crashed``: the engine did not survive it, or had not ended it after PATIENCE.
    """

    result: str = ""
    error: str = ""
    crashed: bool = False

    @property
    def text(self) -> str:
        return self.result + self.error


class EngineAlone:
    """An engine whose only user has ``grants`` and ``profile``. Starts anew after a crash."""

    def __init__(self, folder: Path, config: Path, *, confined: bool = False) -> None:
        self._command = [
            *(sys.executable, "-m", "tests.security.engine_process"),
            *(str(folder), str(config), *(["--confined"] if confined else [])),
        ]
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._read(30) == "ready\n"
        self.run(f"USE {MINE}")

    def _read(self, patience: float) -> str:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], patience)[0]:
            self._process.kill()
        return self._process.stdout.readline()

    def run(self, sql: str, bound: Mapping[str, str] | None = None) -> Outcome:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"sql": sql, "bound": dict(bound or {})}) + "\n")
        self._process.stdin.flush()
        line = self._read(PATIENCE)
        if line:
            return Outcome(**json.loads(line))
        self.close()
        self._start()
        return Outcome(crashed=True)

    def rows(self, sql: str) -> str:
        outcome = self.run(sql)
        assert not outcome.error, outcome.error
        return outcome.result

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


@contextmanager
def prepared() -> Iterator[Path]:
    """A folder with the data of both tenants."""
    folder = Path(tempfile.mkdtemp(prefix="millrace-attacked-"))
    try:
        with opened(folder, EVERYTHING, limited=False) as engine:
            for statement in PREPARED:
                outcome = engine.run(statement)
                assert not outcome.error, (statement, outcome.error)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def opened(
    folder: Path,
    granted: tuple[str, ...] = grants(MINE),
    *,
    limited: bool = True,
    confined: bool = False,
    filters: str = "",
) -> Iterator[EngineAlone]:
    """The engine over ``folder``; by default exactly with what a tenant's user may do."""
    config = users_xml.write(folder, granted, LIMITS.profile() if limited else None, filters)
    engine = EngineAlone(folder, config, confined=confined)
    try:
        yield engine
    finally:
        engine.close()


def ask_of(engine: EngineAlone) -> Callable[[str, Mapping[str, Any]], list[dict[str, Any]]]:
    """The engine as the guard asks it: one row by name, StatementFailed for an error."""

    def ask(sql: str, bound: Mapping[str, Any]) -> list[dict[str, Any]]:
        values = {name: _escaped(str(value)) for name, value in bound.items()}
        outcome = engine.run(f"SELECT * FROM ({sql}) FORMAT JSONEachRow", values)
        if outcome.error or outcome.crashed:
            raise StatementFailed(*clean(outcome.error))
        return [json.loads(line) for line in outcome.result.splitlines()]

    return ask


def ask_as_older(engine: EngineAlone) -> Callable[[str, Mapping[str, Any]], list[dict[str, Any]]]:
    """The same as a server before 26.8 answers, which has no parseQueryToJSON."""
    ask = ask_of(engine)

    def older(sql: str, bound: Mapping[str, Any]) -> list[dict[str, Any]]:
        if "parseQueryToJSON" in sql:
            raise StatementFailed(46, "Function parseQueryToJSON does not exist")
        if not sql.startswith("EXPLAIN AST "):
            return ask(sql, bound)
        # In brackets ClickHouse would explain what it has made of the statement.
        outcome = engine.run(sql, {name: _escaped(str(value)) for name, value in bound.items()})
        if outcome.error or outcome.crashed:
            raise StatementFailed(*clean(outcome.error))
        return [{"explain": line} for line in outcome.result.removesuffix("\n").split("\n")]

    return older


def _escaped(value: str) -> str:
    """A value as the text of a parameter (TabSeparated)."""
    for sign, written in (("\\", "\\\\"), ("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r")):
        value = value.replace(sign, written)
    return value


def leak(outcome: Outcome) -> str:
    """What of another's, or of the machine's, an outcome shows; '' for nothing."""
    if CANARY in outcome.text:
        return "the other tenant's rows"
    if "root:" in outcome.result:
        return "a file of the machine"
    return ""
