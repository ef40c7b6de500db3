"""Checking, publishing and unpublishing saved queries."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Max

from analytics_api.guard import QueryRefused
from analytics_api.guarded import by_engine, guard_query, readable_tables
from analytics_api.models import SavedQuery, SavedQueryVersion
from analytics_api.parameters import Parameter, load
from analytics_api.query_client import Account
from analytics_api.selectors import drafts
from analytics_api.statement_trial import TriedStatement
from tenants.models import Tenant
from tenants.warehouse.errors import StatementFailed

if TYPE_CHECKING:
    from django.contrib.auth.models import User

__all__ = [
    "CheckTarget",
    "Checked",
    "check_query",
    "place_of",
    "publish",
    "readable_tables",
    "unpublish",
]

#: ClickHouse's codes for errors that no value could mend: unknown names, wrong numbers of
#: arguments, wrong aggregation.
_BY_ITSELF = frozenset({10, 34, 35, 42, 46, 47, 60, 81, 179, 184, 207, 215, 352})


@dataclass(frozen=True)
class CheckTarget:
    """Where a query is checked: a database, and the account that describes the result there."""

    database: str
    account: Account


@dataclass(frozen=True)
class Checked:
    """A query that may be published: its text, its parameters and its result's columns.

    ``settings`` are the ClickHouse settings that the query sets. They are sent beside its text.
    """

    sql: str
    parameters: list[dict[str, Any]]
    columns: list[dict[str, str]]
    settings: dict[str, str] = field(default_factory=dict)


def place_of(tenant: Tenant) -> CheckTarget:
    """The tenant's own warehouse. Raises QueryRefused if the tenant has none yet."""
    if not hasattr(tenant, "warehouse"):
        raise QueryRefused(
            "no_warehouse", "The tenant has no warehouse yet: wait until it is ready."
        )
    own = tenant.warehouse
    return CheckTarget(own.database, Account(own.database, own.username, own.password))


def check_query(
    tenant: Tenant,
    sql: str,
    described: Mapping[str, Any] | None = None,
    *,
    filters: Callable[[str], str] = lambda _: "",
    place: CheckTarget | None = None,
) -> Checked:
    """Check a statement with the guard and ClickHouse, without publishing it.

    ClickHouse analyses it with its parameters' defaults and examples. ``described`` describes the
    parameters by name: {default, example, description, allowed}. ``filters`` returns the row
    filters for a guarded statement. ``place`` is where it is checked, by default the tenant's
    warehouse. Raises QueryRefused, which says what the author must change, and WarehouseError.
    """
    place = place or place_of(tenant)
    guarded = guard_query(place.database, sql, described)
    parameters = load(guarded.parameters)
    requested = tuple(guarded.settings.items())
    tried = TriedStatement(place.account, guarded.sql, parameters, filters(guarded.sql), requested)
    try:
        columns = [tried.columns(bound) for bound in _usual_calls(parameters)]
    except StatementFailed as error:
        raise _by_values(error, parameters) from None
    return Checked(guarded.sql, guarded.parameters, columns[0], dict(guarded.settings))


def _usual_calls(parameters: Sequence[Parameter]) -> Iterator[dict[str, str]]:
    """The values of calls to expect: the usual ones and the examples, with each allowed name."""
    usual = {f"param_{parameter.name}": parameter.usual for parameter in parameters}
    examples = {
        f"param_{parameter.name}": parameter.example
        for parameter in parameters
        if parameter.example is not None
    }
    identifiers = [parameter for parameter in parameters if parameter.is_name]
    for choice in itertools.product(*(parameter.type.choices for parameter in identifiers)):
        allowed = zip(identifiers, choice, strict=True)
        put_in = {f"param_{parameter.name}": name for parameter, (name, _) in allowed}
        yield usual | put_in
        if not examples.items() <= usual.items():
            yield usual | examples | put_in


def _by_values(error: StatementFailed, parameters: Sequence[Parameter]) -> QueryRefused:
    """The refusal of a statement that failed with certain values, some of them made up."""
    made_up = [parameter.name for parameter in parameters if parameter.is_made_up]
    refused = by_engine(error)
    if not made_up or error.code in _BY_ITSELF:
        return refused
    names = ", ".join(made_up)
    msg = (
        f"{refused.message} It was tried with made-up values of {names}. If the query depends on "
        f'the value, give an example in the parameters: "{made_up[0]}": {{"example": …}}.'
    )
    return QueryRefused("example", msg)


def publish(
    query: SavedQuery, by: User | None = None, *, place: CheckTarget | None = None
) -> SavedQueryVersion:
    """Publish the query's present state; ``place`` is as for ``check_query``.

    Returns the version that the endpoint now runs: a new one, or the one before if only blanks and
    comments have changed. Raises QueryRefused and WarehouseError; the endpoint then stays as it
    was.
    """
    checked = check_query(query.tenant, query.sql, query.parameters, place=place)
    with transaction.atomic():
        locked = SavedQuery.across_tenants.select_for_update().get(pk=query.pk)
        current = locked.published
        if current is None or not _same(current, checked):
            current = _next_version(query, checked, by)
            SavedQuery.across_tenants.filter(pk=query.pk).update(published=current)
        elif current.text != query.sql:  # other blanks or comments, and the same statement
            current.text = query.sql
            SavedQueryVersion.across_tenants.filter(pk=current.pk).update(text=query.sql)
    query.published = current
    return current


def unpublish(query: SavedQuery) -> None:
    """Remove the endpoint. The query's versions are kept."""
    SavedQuery.across_tenants.filter(pk=query.pk).update(published=None)
    query.published = None


def discard_draft(query: SavedQuery) -> None:
    """Reset the draft to the published version."""
    if query.published is None:
        return
    query.sql, query.parameters = drafts.written(query.published), drafts.described(query.published)
    query.save(update_fields=["sql", "parameters", "updated_at"])


def _same(version: SavedQueryVersion, checked: Checked) -> bool:
    return (version.sql, version.parameters, version.columns, version.engine_settings) == (
        checked.sql,
        checked.parameters,
        checked.columns,
        checked.settings,
    )


def _next_version(query: SavedQuery, checked: Checked, by: User | None) -> SavedQueryVersion:
    last = query.versions.aggregate(last=Max("number"))["last"] or 0
    return SavedQueryVersion.objects.create(
        query=query,
        number=last + 1,
        sql=checked.sql,
        text=query.sql,
        parameters=checked.parameters,
        columns=checked.columns,
        engine_settings=checked.settings,
        published_by=by,
    )
