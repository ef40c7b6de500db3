"""Tries statements with values without running them: ClickHouse analyses them as the tenant's user.

Analysis looks at constants, and parameters are constants by then. So a failure here comes from the
statement or from the values. ClickHouse's message may quote both. It may also quote a row of a
scalar subquery, which ClickHouse computes during analysis. ``sentences`` decides which part of the
message the caller sees.
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

#: How many values of a failed call are tried one by one, and for how many seconds at most.
MOST_TRIED = 8
PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class TriedStatement:
    """A statement with ``{name:Type}`` in it, with the account and settings to try it under."""

    account: Account
    sql: str
    parameters: Sequence[Parameter]
    filters: str = ""
    settings: tuple[tuple[str, str], ...] = ()

    def columns(self, bound: Mapping[str, str]) -> list[dict[str, str]]:
        """The result's columns, ``[{name, type}]``; raises WarehouseError."""
        sql, values = filled(self.sql, self.parameters, bound)
        text = f"DESCRIBE ({sql}\n)"
        call = QueryCall(text, values, "JSONCompact", filters=self.filters, settings=self.settings)
        document = json.loads(b"".join(ask(self.account, call).parts()))
        return [{"name": row[0], "type": row[1]} for row in document["data"]]

    def usual(self) -> dict[str, str]:
        """The values of a usual call: see ``Parameter.usual``."""
        return {f"param_{parameter.name}": parameter.usual for parameter in self.parameters}

    def failure(self, bound: Mapping[str, str]) -> StatementFailed | None:
        """ClickHouse's error about these values, or None; raises WarehouseError for any other."""
        try:
            self.columns(bound)
        except StatementFailed as error:
            if not is_of_the_query(error):
                raise  # a busy server or a limit says nothing about the values
            return error
        return None


@dataclass(frozen=True)
class FailureVerdict:
    """Who caused a failed call: the caller, the query's author or the data.

    ``faults`` are the caller's values that fail, each with ClickHouse's sentence. ``is_outdated``:
    the query fails on its usual values, too. Neither: the query fails on the rows that it read.
    """

    faults: tuple[ParameterProblem, ...] = ()
    is_outdated: bool = False


def verdict(tried: TriedStatement, bound: Mapping[str, str]) -> FailureVerdict:
    """Find out who caused the failure of a call with the values ``bound``, by trying statements."""
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
    """The usual values, with the names (Identifier parameters) that the caller chose."""
    names = {f"param_{parameter.name}" for parameter in tried.parameters if parameter.is_name}
    return tried.usual() | {key: text for key, text in bound.items() if key in names}


def _faults(
    tried: TriedStatement, usual: dict[str, str], bound: Mapping[str, str]
) -> Iterator[ParameterProblem]:
    """A problem for each value that fails while all other parameters have their usual values."""
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
