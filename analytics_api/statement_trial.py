"""Statements tried with values, without being run: ClickHouse analyses them, as the tenant's user.

Analysis looks at constants, and parameters are constants by then. So what fails here fails by the
statement or by the values. Its message may quote both, and a row out of a subquery that is a single
value, which ClickHouse computes to analyse: see ``sentences`` for what of it is told.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analytics_api.blame import is_of_the_query
from analytics_api.identifiers import filled
from analytics_api.parameters import Parameter, ParameterProblem
from analytics_api.query_client import Account, QueryCall, ask
from analytics_api.sentences import sentence
from tenants.warehouse.errors import StatementFailed, WarehouseError

#: Most values of a failed call that are tried each by itself, and for how many seconds.
MOST_TRIED = 8
PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class TriedStatement:
    """A statement with ``{name:Type}`` in it, and under what it is tried."""

    account: Account
    sql: str
    parameters: Sequence[Parameter]
    filters: str = ""
    settings: tuple[tuple[str, str], ...] = ()

    def columns(self, bound: Mapping[str, str]) -> list[dict[str, str]]:
        """Names and types of the result's columns; raises WarehouseError."""
        sql, values = filled(self.sql, self.parameters, bound)
        text = f"DESCRIBE ({sql}\n)"
        call = QueryCall(text, values, "JSONCompact", filters=self.filters, settings=self.settings)
        document = json.loads(b"".join(ask(self.account, call).parts()))
        return [{"name": row[0], "type": row[1]} for row in document["data"]]

    def usual(self) -> dict[str, str]:
        """The values that a call would have: see ``Parameter.usual``."""
        return {f"param_{one.name}": one.usual for one in self.parameters}

    def failure(self, bound: Mapping[str, str]) -> StatementFailed | None:
        """What ClickHouse says against these values; raises WarehouseError for all else."""
        try:
            self.columns(bound)
        except StatementFailed as error:
            if not is_of_the_query(error):
                raise  # a busy server or a limit says nothing of the values
            return error
        return None


@dataclass(frozen=True)
class FailureVerdict:
    """Whose error a failed call is.

    ``faults``: of the caller's values, each with ClickHouse's sentence; ``is_outdated``: of the
    query, which fails on its usual values too. Neither: of the rows that it met.
    """

    faults: tuple[ParameterProblem, ...] = ()
    is_outdated: bool = False


def verdict(tried: TriedStatement, bound: Mapping[str, str]) -> FailureVerdict:
    """Find out by trying, after a call with the values ``bound`` has failed."""
    try:
        failure = tried.failure(bound)
        if failure is None:
            return FailureVerdict()
        usual = _with_names(tried, bound)
        if tried.failure(usual) is not None:
            return FailureVerdict(is_outdated=True)
        faults = tuple(_faults(tried, usual, bound))
        return FailureVerdict(faults or (ParameterProblem("", _sentence(failure, tried, bound)),))
    except WarehouseError:
        return FailureVerdict()


def _with_names(tried: TriedStatement, bound: Mapping[str, str]) -> dict[str, str]:
    """The usual values, in the statement that the caller's names make."""
    names = {f"param_{one.name}" for one in tried.parameters if one.is_name}
    return tried.usual() | {key: text for key, text in bound.items() if key in names}


def _faults(
    tried: TriedStatement, usual: dict[str, str], bound: Mapping[str, str]
) -> Iterator[ParameterProblem]:
    """Of each value that fails where all others are as usual."""
    until = time.monotonic() + PATIENCE_SECONDS
    other = [key for key, text in bound.items() if usual.get(key) != text]
    for key in other[:MOST_TRIED]:
        if time.monotonic() > until:
            return
        failure = tried.failure({**usual, key: bound[key]})
        if failure is not None:
            name = key.removeprefix("param_")
            yield ParameterProblem(name, f"{name}: {_sentence(failure, tried, bound)}")


def _sentence(failure: StatementFailed, tried: TriedStatement, bound: Mapping[str, str]) -> str:
    return sentence(failure, bound.values(), tried.account.database)
