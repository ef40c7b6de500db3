"""What can be done with saved queries. Views, admin and config-as-code call these."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Max

from analytics_api.engine import Account, Call, ask
from analytics_api.guard import Declared, GuardedQuery, QueryRefused, check, engine, text_of
from analytics_api.models import SavedQuery, SavedQueryVersion
from analytics_api.parameters import binding, values
from tenants.lifecycle import registry
from tenants.models import Tenant
from tenants.warehouse import client
from tenants.warehouse.errors import StatementFailed

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: Engines of tables that are there for the way in: nothing can be read from them.
_NOT_READABLE = ("Null", "MaterializedView")
_TABLES_SQL = (
    "SELECT name FROM system.tables WHERE database = {database:String} "
    "AND engine NOT IN {engines:Array(String)} ORDER BY name"
)


@dataclass(frozen=True)
class Place:
    """Where a query is checked: a database, and the user that describes the result there."""

    database: str
    account: Account


@dataclass(frozen=True)
class Checked:
    """A query that may be published: its text, parameters and the columns of its result."""

    sql: str
    parameters: list[dict[str, Any]]
    columns: list[dict[str, str]]


def readable_tables(database: str) -> list[str]:
    """Names of the tables that a tenant's queries may read; raises WarehouseError."""
    bound = {"database": database, "engines": list(_NOT_READABLE)}
    found = [row["name"] for row in client.rows(_TABLES_SQL, bound)]
    return [name for name in found if not any(is_note(name) for is_note in registry.notes)]


def place_of(tenant: Tenant) -> Place:
    """The tenant's own warehouse; raises QueryRefused where it has none yet."""
    if not hasattr(tenant, "warehouse"):
        raise QueryRefused(
            "no_warehouse", "The tenant has no warehouse yet: wait until it is ready."
        )
    own = tenant.warehouse
    return Place(own.database, Account(own.database, own.username, own.password))


def check_query(
    tenant: Tenant,
    sql: str,
    described: Mapping[str, Any] | None = None,
    *,
    filters: Callable[[str], str] = lambda _: "",
    place: Place | None = None,
) -> Checked:
    """Put a statement through the guard and the engine, without publishing it.

    ``described`` says of parameters what SQL can't, by name: {default, description}; ``filters``
    the row filters that a guarded statement is to be held to; ``place`` where it is checked, the
    tenant's warehouse by default. Raises QueryRefused, which says what its author must change, and
    WarehouseError.
    """
    place = place or place_of(tenant)
    tables = readable_tables(place.database)
    guarded = check(sql, tables=tables, database=place.database)
    parameters = _parameters(guarded.parameters, described or {})
    _check_by_engine(guarded, tables, place.database)
    columns = _describe(place.account, guarded, parameters, filters(guarded.sql))
    return Checked(guarded.sql, parameters, columns)


def publish(
    query: SavedQuery, by: User | None = None, *, place: Place | None = None
) -> SavedQueryVersion:
    """Make the query's present state its endpoint; ``place`` is as for ``check_query``.

    Returns the version that now answers: a new one, or the one before where nothing has changed.
    Raises QueryRefused and WarehouseError, and then the endpoint stays as it was.
    """
    checked = check_query(query.tenant, query.sql, query.parameters, place=place)
    with transaction.atomic():
        locked = SavedQuery.across_tenants.select_for_update().get(pk=query.pk)
        current = locked.published
        if current is None or not _same(current, checked):
            current = _next_version(locked, checked, by)
            SavedQuery.across_tenants.filter(pk=query.pk).update(published=current)
    query.published = current
    return current


def unpublish(query: SavedQuery) -> None:
    """Take the endpoint away. Its versions stay."""
    SavedQuery.across_tenants.filter(pk=query.pk).update(published=None)
    query.published = None


def has_draft(query: SavedQuery) -> bool:
    """Whether the query says something else than the version that answers; without one it does."""
    version = query.published
    if version is None:
        return True
    try:
        text = text_of(query.sql)
    except QueryRefused:
        return True
    return (text, _said(query.parameters)) != (version.sql, described(version))


def discard_draft(query: SavedQuery) -> None:
    """Take the query back to the version that answers."""
    if query.published is None:
        return
    query.sql, query.parameters = query.published.sql, described(query.published)
    query.save(update_fields=["sql", "parameters", "updated_at"])


def described(version: SavedQueryVersion) -> dict[str, Any]:
    """What its author has said of parameters, as a draft has it: by name, without their types."""
    own = ("name", "type")
    return _said(
        {
            one["name"]: {key: value for key, value in one.items() if key not in own}
            for one in version.parameters
        }
    )


def _said(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The same without what says nothing."""
    found = {
        name: {key: one for key, one in said.items() if (key, one) != ("description", "")}
        if isinstance(said, Mapping)
        else said
        for name, said in parameters.items()
    }
    return {name: said for name, said in found.items() if said}


def _same(version: SavedQueryVersion, checked: Checked) -> bool:
    return (version.sql, version.parameters, version.columns) == (
        checked.sql,
        checked.parameters,
        checked.columns,
    )


def _next_version(query: SavedQuery, checked: Checked, by: User | None) -> SavedQueryVersion:
    last = query.versions.aggregate(last=Max("number"))["last"] or 0
    return SavedQueryVersion.objects.create(
        query=query,
        number=last + 1,
        sql=checked.sql,
        parameters=checked.parameters,
        columns=checked.columns,
        published_by=by,
    )


def _parameters(declared: Sequence[Declared], described: Mapping[str, Any]) -> list[dict[str, Any]]:
    unknown = set(described) - {parameter.name for parameter in declared}
    if unknown:
        msg = f"The SQL has no parameter {', '.join(sorted(unknown))}. Write it as {{name:Type}}."
        raise QueryRefused("parameter", msg)
    return [_parameter(one, described.get(one.name) or {}) for one in declared]


def _parameter(declared: Declared, said: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(said, Mapping) or set(said) - {"default", "description"}:
        msg = f"{declared.name}: only default and description can be given for a parameter."
        raise QueryRefused("parameter", msg)
    stored: dict[str, Any] = {"name": declared.name, "type": str(declared.type)}
    if "default" in said:
        try:
            values.encode(declared.type, said["default"])
        except values.Misfit as misfit:
            msg = f"{declared.name}: its default must be {misfit}, not {said['default']!r}."
            raise QueryRefused("parameter", msg) from None
        stored["default"] = said["default"]
    if said.get("description"):
        stored["description"] = str(said["description"])
    return stored


def _check_by_engine(guarded: GuardedQuery, tables: Sequence[str], database: str) -> None:
    """Have ClickHouse parse the text, and hold what it reads against the allow-lists."""
    try:
        (row,) = client.rows(engine.PARSE_SQL, {"sql": guarded.sql})
    except StatementFailed as error:
        if error.code != engine.UNKNOWN_FUNCTION:
            raise _by_engine(error) from None
    else:
        engine.check_json(row["tree"], tables=tables, database=database)
        return
    samples = {one.name: values.sample(one.type) for one in guarded.parameters}
    try:
        lines = client.rows(f"EXPLAIN AST {guarded.sql}", samples)
    except StatementFailed as error:
        raise _by_engine(error) from None
    names = [str(next(iter(line.values()))) for line in lines]
    engine.check_explained(names, tables=tables, database=database)


def _describe(
    account: Account, guarded: GuardedQuery, parameters: list[dict[str, Any]], filters: str
) -> list[dict[str, str]]:
    """Names and types of the result's columns, as the account gets them.

    Under the row filters: to describe, ClickHouse runs the subqueries that are single values.
    """
    bound = {
        f"param_{one.name}": values.sample(one.type) if one.default is None else one.default
        for one in binding.load(parameters)
    }
    try:
        call = Call(f"DESCRIBE ({guarded.sql}\n)", bound, "JSONCompact", filters=filters)
        answer = ask(account, call)
    except StatementFailed as error:
        raise _by_engine(error) from None
    document = json.loads(b"".join(answer.parts()))
    return [{"name": row[0], "type": row[1]} for row in document["data"]]


def _by_engine(error: StatementFailed) -> QueryRefused:
    message = error.message.removeprefix("Syntax error").split(": In scope ")[0]
    return QueryRefused(f"clickhouse_{error.code}", f"ClickHouse refuses it: {message}")
