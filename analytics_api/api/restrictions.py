"""What a caller's key or token holds a query to: fixed parameters and row filters."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

from analytics_api.parameters import Parameter
from analytics_api.row_filters import FilterMissing, setting
from tenants.rest.authentication import Caller
from tenants.rest.problem import Problem

log = logging.getLogger(__name__)


def check_given(caller: Caller, given: Collection[str]) -> None:
    """Raise Problem where the caller gives a parameter that is fixed for it."""
    if fixed := sorted(caller.parameters.keys() & set(given)):
        detail = f"{', '.join(fixed)}: set by your key, and can't be given. Leave it out."
        errors = [{"name": name, "message": f"{name}: set by your key."} for name in fixed]
        raise Problem(403, "parameter_fixed", detail, errors=errors)


def with_fixed(
    caller: Caller, parameters: tuple[Parameter, ...], given: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The values to bind: the caller's and the fixed ones.

    Raises Problem for one that is fixed and given, or that the query lacks: it would not hold.
    """
    if not caller.parameters:
        return given
    check_given(caller, given)
    if not fits(caller, parameters):
        detail = "Your key fixes parameters that this query doesn't have, so it can't be run."
        raise Problem(403, "parameter_not_held", detail)
    return {**given, **caller.parameters}


def fits(caller: Caller, parameters: tuple[Parameter, ...]) -> bool:
    """Whether a query has every parameter that is fixed for the caller."""
    return caller.parameters.keys() <= {one.name for one in parameters}


def row_filters(caller: Caller, sql: str, label: str) -> str:
    """ClickHouse's setting for the caller's row filters; raises Problem, WarehouseError."""
    try:
        return setting(caller.filters, caller.database, sql)
    except FilterMissing as error:
        log.warning("%s: %s", label, error)
        detail = (
            "Your key has row filters, and this query reads a table that none of them is for, or "
            "has PREWHERE. Ask who gave you the key."
        )
        raise Problem(403, "row_filter", detail) from None
