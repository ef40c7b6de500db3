"""Calls every endpoint with every credential and looks for other tenants' data in the answers."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
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

#: Statements that show a tenant's own word, if it is that tenant's table.
_OWN = tuple(
    Template(sql)
    for sql in (
        "SELECT any(word) FROM $table",
        "SELECT any(raw) FROM ${table}__quarantine",
        "SELECT any(_message_id) FROM ${table}__filtered",
    )
)
#: Statements that each tenant's ClickHouse user runs without the guard. Another tenant's word in
#: a result is a leak.
_STATEMENTS = _OWN + tuple(
    Template(sql)
    for sql in (
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
    """The outcome: ``failures`` in words, ``calls`` by endpoint, and the number of ``statements``.

    ``seen`` has the slugs of tenants that saw their own rows, without which nothing is proved.
    """

    calls: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    statements: int = 0

    def fail(self, text: str) -> None:
        if text not in self.failures:
            self.failures.append(text)


class Verification:
    """Compares an installation's answers with what was planted."""

    def __init__(self, calls: Calls, planted: Sequence[Planted], idle: Sequence[Planted]) -> None:
        """``idle`` are suspended tenants, whose data nobody may see, not even they themselves."""
        self._calls = calls
        self._planted = planted
        self._everybody = (*planted, *idle)
        self._good = [credential for one in planted for credential in credentials.good(one)]
        self._bad = [credential for one in planted for credential in credentials.bad(one)]
        self._bad += [credential for one in idle for credential in credentials.suspended(one)]
        self.report = IsolationReport()

    def run(self, routes: Sequence[Route]) -> IsolationReport:
        """Call everything in an order that lets one caller's cached answer meet the next caller."""
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
            if route.name == "infer":
                self._infer(route)
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
        """Call each name as its owner first, then as the others while the answer is cached."""
        for owner in self._planted:
            for name in {route.shared(owner), *route.values(owner)}:
                for credential in self._callers(route, owner):
                    for method in self._methods(route):
                        if route.changes_keys and credential.of is owner and method not in SAFE:
                            continue
                        answer = self._call(route, method, name, credential)
                        self._judge(route, method, credential, answer, name)

    def _callers(self, route: Route, owner: Planted) -> list[Credential]:
        if route.name in PUBLIC:
            return self._good[:1]
        return sorted(self._good, key=lambda key: (key.of is not owner, not key.whole))

    def _methods(self, route: Route) -> list[str]:
        """The methods to call with valid credentials.

        An unsafe method without a parameter changes the tenant as a whole, so only invalid
        credentials call it.
        """
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
                        f"{credential.kind}. It must answer 401 or 403."
                    )

    def _call(self, route: Route, method: str, name: str, credential: Credential) -> HttpAnswer:
        self.report.calls[f"{method} /{route.pattern}"] += 1
        return self._calls.call(method, route.path(name), credential.value)

    def _judge(
        self, route: Route, method: str, by: Credential, answer: HttpAnswer, name: str
    ) -> None:
        at = f"{method} /{route.pattern} with {by.kind}"
        # An answer may repeat the name that the caller sent.
        text = answer.text.replace(name, "?") if name else answer.text
        if answer.status >= 500:
            self.report.fail(f"{at} failed with a server error ({answer.status}).")
        for other in self._everybody:
            if other is by.of:
                continue
            if any(mark in text for mark in other.marks()):
                self.report.fail(f"{at} showed data of {other.tenant.slug}.")
            if re.search(rf"\b{re.escape(other.tenant.slug)}\b", text):
                self.report.fail(f"{at} named the tenant {other.tenant.slug}.")
        if by.of is not None and by.of.word in text and route.name == "query":
            self._own_count(at, by.of, answer)

    def _own_count(self, at: str, own: Planted, answer: HttpAnswer) -> None:
        """Check a planted query's result: it must count the tenant's own rows and no others."""
        self.report.seen.add(own.tenant.slug)
        (row,) = json.loads(answer.body)["data"]
        if (row["word"], int(row["found"])) != (own.word, own.count):
            self.report.fail(f"{at} did not count exactly the rows of {own.tenant.slug}.")

    def _unknown_alike(self, route: Route) -> None:
        """Another tenant's object must get the same answer, to the byte, as a name nobody has."""
        for credential, other in self._strangers():
            for name in route.values(other):
                for method in route.methods:
                    there = self._call(route, method, name, credential)
                    nobodys = route.nobodys()
                    nowhere = self._call(route, method, nobodys, credential)
                    if there.without(name) != nowhere.without(nobodys):
                        self.report.fail(
                            f"{method} /{route.pattern} with {credential.kind} reveals that "
                            "another tenant has an object of that name."
                        )

    def _strangers(self) -> Iterator[tuple[Credential, Planted]]:
        """Each valid credential with each tenant that it is not of."""
        for credential in self._good:
            for other in self._planted:
                if other is not credential.of:
                    yield credential, other

    def _sql(self, route: Route) -> None:
        """Send SQL that names another tenant's tables to the endpoint for ad-hoc queries."""
        for credential, other in self._strangers():
            database, table = other.warehouse.database, other.shared
            for template in _STATEMENTS:
                sql = template.substitute(database=database, table=f"{database}.{table}")
                self._post(route, credential, {"sql": sql}, database)

    def _infer(self, route: Route) -> None:
        """Name another tenant's source and connection: the answer is as for a name nobody has."""
        for credential, other in self._strangers():
            own_names = {"source": other.own_source, "connection": other.own_connection}
            for member, name in own_names.items():
                # A connection goes with the name of a stream on it.
                stream = {"stream": "isolation"} if member == "connection" else {}
                nobodys = route.nobodys()
                there = self._post(route, credential, {member: name, **stream}, name)
                nowhere = self._post(route, credential, {member: nobodys, **stream}, nobodys)
                if there.without(name) != nowhere.without(nobodys):
                    self.report.fail(
                        f"POST /{route.pattern} with {credential.kind} reveals that another "
                        f"tenant has a {member} of that name."
                    )

    def _post(
        self, route: Route, credential: Credential, body: dict[str, str], name: str
    ) -> HttpAnswer:
        """Send a body in which the caller names ``name``, and judge the answer."""
        self.report.calls[f"POST /{route.pattern}"] += 1
        answer = self._calls.call("POST", route.path(), credential.value, body)
        self._judge(route, "POST", credential, answer, name)
        return answer

    # --- Below the endpoints --------------------------------------------------------------------

    def _statements(self) -> None:
        """Try to read other tenants' tables as each tenant's ClickHouse user, without the guard.

        One statement also goes through the guard, which must refuse it.
        """
        for reader in self._planted:
            for other in self._planted:
                if reader is not other:
                    self._between(reader, other)

    def _between(self, reader: Planted, other: Planted) -> None:
        table = f"{other.warehouse.database}.{other.shared}"
        for template in _STATEMENTS:
            sql = template.substitute(database=other.warehouse.database, table=table)
            self.report.statements += 1
            if any(mark in self._asked(reader, sql) for mark in other.marks()):
                slug = other.tenant.slug
                self.report.fail(f"ClickHouse shows {reader.warehouse} data of {slug}: {sql}")
        try:
            check_query(reader.tenant, _STATEMENTS[0].substitute(table=table))
        except QueryRefused:
            return
        self.report.fail(f"The guard lets {reader.tenant.slug} name {table}.")

    @staticmethod
    def _asked(reader: Planted, sql: str) -> str:
        warehouse = reader.warehouse
        account = Account(warehouse.database, warehouse.username, warehouse.password)
        try:
            answer = ask(account, QueryCall(sql, {}, "TSV"))
        except WarehouseError:
            return ""  # the error's text repeats the names in the statement
        return b"".join(answer.parts()).decode("utf-8", "replace")

    def _controls(self) -> None:
        """Fail if a tenant did not even see its own rows: then the check proves nothing."""
        for own in self._planted:
            if own.tenant.slug not in self.report.seen:
                self.report.fail(
                    f"{own.tenant.slug} did not see its own rows either, so this check proves "
                    "nothing. Check that the tenant is active and that ClickHouse answers."
                )
            table = f"{own.warehouse.database}.{own.shared}"
            for template in _OWN:
                sql = template.substitute(table=table)
                if own.word not in self._asked(own, sql):
                    self.report.fail(
                        f"{own.tenant.slug} did not see its own row either, so this proves "
                        f"nothing of {sql}. Check that ClickHouse answers."
                    )
