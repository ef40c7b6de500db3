"""How a caller's key or token restricts a query: fixed parameters and row filters."""

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
    """Raise Problem if the caller gives a parameter that its key sets."""
    if fixed := sorted(caller.parameters.keys() & set(given)):
        detail = f"Your key sets {', '.join(fixed)}. Leave it out of the call."
        errors = [{"name": name, "message": f"{name}: set by your key."} for name in fixed]
        raise Problem(403, "parameter_fixed", detail, errors=errors)


def with_fixed(
    caller: Caller, parameters: tuple[Parameter, ...], given: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The values to bind: the caller's and the fixed ones.

    Raises Problem if the caller gives a fixed parameter, or if the query lacks one: the restriction
    would then have no effect.
    """
    if not caller.parameters:
        return given
    check_given(caller, given)
    if not fits(caller, parameters):
        detail = (
            "Your key sets parameters that this query does not have, so it can't run this query."
        )
        raise Problem(403, "parameter_not_held", detail)
    return {**given, **caller.parameters}


def fits(caller: Caller, parameters: tuple[Parameter, ...]) -> bool:
    """Whether a query has every parameter that the caller's key sets."""
    return caller.parameters.keys() <= {parameter.name for parameter in parameters}


def row_filters(caller: Caller, sql: str, label: str) -> str:
    """ClickHouse's setting for the caller's row filters; raises Problem, WarehouseError."""
    try:
        return setting(caller.filters, caller.database, sql)
    except FilterMissing as error:
        log.warning("%s: %s", label, error)
        detail = (
            "Your key has row filters, and this query has PREWHERE or reads a table that none of "
            "the filters covers. Ask the person who gave you the key."
        )
        raise Problem(403, "row_filter", detail) from None
