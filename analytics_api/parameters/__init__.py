"""Typed parameters of a saved query: read from its SQL, checked, and written for ClickHouse."""

from __future__ import annotations

from analytics_api.parameters.binding import (
    Parameter,
    bind,
    from_query_string,
    load,
    may_be_left_out,
)
from analytics_api.parameters.errors import Misfit, ParameterProblem, ParametersRefused, TypeRefused
from analytics_api.parameters.types import ParameterType, parse

__all__ = [
    "Misfit",
    "Parameter",
    "ParameterProblem",
    "ParameterType",
    "ParametersRefused",
    "TypeRefused",
    "bind",
    "from_query_string",
    "load",
    "may_be_left_out",
    "parse",
]
