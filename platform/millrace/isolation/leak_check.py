"""Every endpoint with every credential, and what no answer may hold."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from string import Template

from analytics_api.guard import QueryRefused
from analytics_api.query_client import Account, QueryCall, ask
from analytics_api.services.saved_queries import check_query
from millrace.isolation import credentials
from millrace.isolation.calling import Calls, HttpAnswer
from millrace.isolation.credentials import Credential
from millrace.isolation.planted import Planted
from millrace.isolation.routes import PUBLIC, SAFE, Route
from tenants.warehouse.errors import WarehouseError

#: What a tenant's own user asks past the guard; another's word in an answer is a leak.
_STATEMENTS = tuple(
    Template(sql)
    for sql in (
        "SELECT any(word) FROM $table",
        "SELECT any(word) FROM merge('$database', '.*')",
        "SELECT any(word) FROM remote('127.0.0.1', $table)",
        "SELECT any(word) FROM clusterAllReplicas('default', $table)",
        "SELECT groupArray(concat(database, '.', name)) FROM system.tables",
        "SELECT groupArray(name) FROM system.databases",
        "SELECT groupArray(query) FROM system.query_log",
        "SELECT groupArray(query) FROM system.processes",
        "SELECT groupArray(name) FROM system.users",
    )
)
_REFUSALS = frozenset({401, 403})


@dataclass
class IsolationReport:
    """``failures`` in words; ``calls`` by endpoint; ``seen``: tenants whose own data showed."""

    calls: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    statements: int = 0

    def fail(self, text: str) -> None:
        if text not in self.failures:
            self.failures.append(text)


class Verification:
    """Holds an installation's answers against what was planted."""

    def __init__(self, calls: Calls, planted: Sequence[Planted], idle: Sequence[Planted]) -> None:
        """``idle`` are suspended tenants; nobody may see anything of theirs, they included."""
        self._calls = calls
        self._planted = planted
        self._everybody = (*planted, *idle)
        self._good = [one for each in planted for one in credentials.good(each)]
        self._bad = [one for each in planted for one in credentials.bad(each)]
        self._bad += [one for each in idle for one in credentials.suspended(each)]
        self.report = IsolationReport()

    def run(self, routes: Sequence[Route]) -> IsolationReport:
        """Call all; what is remembered of one caller meets the next."""
        known = [route for route in routes if not self._is_unknown(route)]
        for route in known:
            self._with_good(route)
        for route in known:
            self._with_bad(route)
        for route in known:
            if route.parameters:
                self._unknown_alike(route)
        for route in known:
            if route.name == "sql":
                self._sql(route)
        self._statements()
        self._controls()
        return self.report

    def _is_unknown(self, route: Route) -> bool:
        unknown = route.unknown()
        if unknown:
            self.report.fail(f"{route.pattern} is not covered: {unknown}.")
        return bool(unknown)

    # --- Endpoints ------------------------------------------------------------------------------

    def _with_good(self, route: Route) -> None:
        """Of each name its owner first, then the others at once, while it is remembered."""
        for one in self._planted:
            for name in {route.shared(one), *route.values(one)}:
                for credential in self._callers(route, one):
                    for method in self._methods(route):
                        if route.changes_keys and credential.of is one and method not in SAFE:
                            continue
                        answer = self._call(route, method, name, credential)
                        self._judge(route, method, credential, answer, name)

    def _callers(self, route: Route, owner: Planted) -> list[Credential]:
        if route.name in PUBLIC:
            return self._good[:1]
        return sorted(self._good, key=lambda one: (one.of is not owner, not one.whole))

    def _methods(self, route: Route) -> list[str]:
        """What changes a tenant as a whole is called only with credentials that open nothing."""
        safe = [method for method in route.methods if method in SAFE]
        return list(route.methods) if route.parameters else safe

    def _with_bad(self, route: Route) -> None:
        name = route.shared(self._planted[0])
        for credential in self._bad[:1] if route.name in PUBLIC else self._bad:
            for method in route.methods:
                answer = self._call(route, method, name, credential)
                self._judge(route, method, credential, answer, name)
                if answer.status not in _REFUSALS and route.name not in PUBLIC:
                    self.report.fail(
                        f"{method} {route.pattern} answered {answer.status} to "
                        f"{credential.kind}, and must refuse it."
                    )

    def _call(self, route: Route, method: str, name: str, credential: Credential) -> HttpAnswer:
        self.report.calls[f"{method} /{route.pattern}"] += 1
        return self._calls.call(method, route.path(name), credential.value)

    def _judge(
        self, route: Route, method: str, by: Credential, answer: HttpAnswer, name: str
    ) -> None:
        at = f"{method} /{route.pattern} with {by.kind}"
        # What was sent may be sent back.
        text = answer.text.replace(name, "?") if name else answer.text
        if answer.status >= 500:
            self.report.fail(f"{at} ended in an error of ours ({answer.status}).")
        for other in self._everybody:
            if other is by.of:
                continue
            if any(mark in text for mark in other.marks()):
                self.report.fail(f"{at} showed what is of {other.tenant.slug}.")
            if re.search(rf"\b{re.escape(other.tenant.slug)}\b", text):
                self.report.fail(f"{at} named the tenant {other.tenant.slug}.")
        if by.of is not None and by.of.word in text and route.name == "query":
            self._own_count(at, by.of, answer)

    def _own_count(self, at: str, own: Planted, answer: HttpAnswer) -> None:
        """A result of a query of ours: it must count the tenant's rows, and no more."""
        self.report.seen.add(own.tenant.slug)
        (row,) = json.loads(answer.body)["data"]
        if (row["word"], int(row["found"])) != (own.word, own.count):
            self.report.fail(f"{at} counted rows that are not of {own.tenant.slug} alone.")

    def _unknown_alike(self, route: Route) -> None:
        """What is another's answers as what does not exist, to the byte."""
        for credential in self._good:
            for other in self._planted:
                if other is credential.of:
                    continue
                for name in route.values(other):
                    for method in route.methods:
                        there = self._call(route, method, name, credential)
                        nobodys = route.nobodys()
                        nowhere = self._call(route, method, nobodys, credential)
                        if there.without(name) != nowhere.without(nobodys):
                            self.report.fail(
                                f"{method} /{route.pattern} with {credential.kind} tells that "
                                "another tenant has something of that name."
                            )

    def _sql(self, route: Route) -> None:
        """SQL of the caller's own that names another's tables, through the endpoint for it."""
        for credential in self._good:
            for other in self._planted:
                if other is credential.of:
                    continue
                database, table = other.warehouse.database, other.shared
                for template in _STATEMENTS:
                    sql = template.substitute(database=database, table=f"{database}.{table}")
                    answer = self._calls.call("POST", route.path(), credential.value, {"sql": sql})
                    self.report.calls[f"POST /{route.pattern}"] += 1
                    self._judge(route, "POST", credential, answer, database)

    # --- Below the endpoints --------------------------------------------------------------------

    def _statements(self) -> None:
        """As each tenant's own ClickHouse user, past the guard; and through the guard."""
        for one in self._planted:
            for other in self._planted:
                if one is not other:
                    self._between(one, other)

    def _between(self, one: Planted, other: Planted) -> None:
        table = f"{other.warehouse.database}.{other.shared}"
        for template in _STATEMENTS:
            sql = template.substitute(database=other.warehouse.database, table=table)
            self.report.statements += 1
            if any(mark in self._asked(one, sql) for mark in other.marks()):
                slug = other.tenant.slug
                self.report.fail(f"The engine shows {one.warehouse} what is of {slug}: {sql}")
        try:
            check_query(one.tenant, _STATEMENTS[0].substitute(table=table))
        except QueryRefused:
            return
        self.report.fail(f"The guard lets {one.tenant.slug} name {table}.")

    @staticmethod
    def _asked(one: Planted, sql: str) -> str:
        account = Account(one.warehouse.database, one.warehouse.username, one.warehouse.password)
        try:
            answer = ask(account, QueryCall(sql, {}, "TSV"))
        except WarehouseError:
            return ""  # its text names what was asked for
        return b"".join(answer.parts()).decode("utf-8", "replace")

    def _controls(self) -> None:
        """A check that sees nothing at all proves nothing."""
        for one in self._planted:
            if one.tenant.slug not in self.report.seen:
                self.report.fail(
                    f"{one.tenant.slug} did not get its own rows either, so nothing is proved. "
                    "Is the tenant active, and does ClickHouse answer?"
                )
