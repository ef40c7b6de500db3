"""Binds a caller's values to the parameters of a query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from analytics_api.parameters.errors import Misfit, ParameterProblem, ParametersRefused
from analytics_api.parameters.expected import expected
from analytics_api.parameters.types import IDENTIFIER, ParameterType, names_of, parse
from analytics_api.parameters.values import encode, sample

#: How many characters of a value an error repeats.
SHOWN = 60


@dataclass(frozen=True)
class Parameter:
    """A parameter of a published query.

    ``default`` is the encoded value used if the caller gives none; None if the caller must give
    one. A Nullable parameter without a default has NULL. ``example`` is an encoded value that the
    query accepts, according to its author.
    """

    name: str
    type: ParameterType
    default: str | None = None
    description: str = ""
    example: str | None = None

    @property
    def is_name(self) -> bool:
        """Whether the parameter is a name put into the SQL, not a value that ClickHouse binds."""
        return self.type.base == IDENTIFIER

    @property
    def is_made_up(self) -> bool:
        """Whether ``usual`` is made up: the author gave neither a default nor an example."""
        return self.default is None and self.example is None and not self.is_name

    @property
    def usual(self) -> str:
        """The encoded value of a usual call: the default, else the example, else a made-up one."""
        if self.default is not None:
            return self.default
        return sample(self.type) if self.example is None else self.example


def load(stored: Iterable[Mapping[str, Any]]) -> tuple[Parameter, ...]:
    """The parameters that a version stores as ``[{name, type, default?, description?, …}]``."""
    return tuple(_load(parameter) for parameter in stored)


def _load(stored: Mapping[str, Any]) -> Parameter:
    kind = names_of(stored["allowed"]) if "allowed" in stored else parse(stored["type"])
    default = _encoded(kind, stored, "default")
    if default is None and kind.is_nullable:
        default = encode(kind, None)
    example = _encoded(kind, stored, "example")
    return Parameter(stored["name"], kind, default, stored.get("description", ""), example)


def _encoded(kind: ParameterType, stored: Mapping[str, Any], member: str) -> str | None:
    """The encoded ``member``; None if absent, or if an older version stores one that misfits."""
    try:
        return encode(kind, stored[member]) if member in stored else None
    except Misfit:
        return None


def may_be_left_out(stored: Mapping[str, Any]) -> bool:
    """Whether a stored parameter has a value if the caller gives none."""
    return _load(stored).default is not None


def bind(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, str]:
    """The encoded ``param_<name>`` of each parameter, from values as JSON has them.

    Raises ParametersRefused with all problems at once: values that don't fit, missing parameters
    and unknown ones.
    """
    problems: list[ParameterProblem] = []
    bound: dict[str, str] = {}
    for parameter in parameters:
        if parameter.name in given:
            try:
                bound[f"param_{parameter.name}"] = encode(parameter.type, given[parameter.name])
            except Misfit as misfit:
                problems.append(_misfit(parameter, misfit, given[parameter.name]))
        elif parameter.default is not None:
            bound[f"param_{parameter.name}"] = parameter.default
        else:
            problems.append(_missing(parameter))
    problems += _unknown(parameters, given)
    if problems:
        raise ParametersRefused(tuple(problems))
    return bound


def from_query_string(
    parameters: Sequence[Parameter], pairs: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The values in a query string. A key may be repeated to give an array.

    Raises ParametersRefused for a repeated key whose parameter is not an array.
    """
    types = {parameter.name: parameter.type for parameter in parameters}
    values: dict[str, Any] = {}
    problems: list[ParameterProblem] = []
    for name, texts in pairs.items():
        kind = types.get(name)
        is_array = kind is not None and kind.base == "Array"
        if is_array and not (len(texts) == 1 and texts[0].lstrip().startswith("[")):
            values[name] = list(texts)
        elif len(texts) == 1:
            values[name] = texts[0]
        else:
            msg = f"{shortened(name)}: given {len(texts)} times; expected once."
            problems.append(ParameterProblem(shortened(name), msg))
    if problems:
        raise ParametersRefused(tuple(problems))
    return values


def _misfit(parameter: Parameter, misfit: Misfit, value: Any) -> ParameterProblem:
    reason = f": {misfit.reason}" if misfit.reason else ""
    got = f"got {shortened(_written(value))}{reason}."
    msg = f"{parameter.name}: expected {misfit} ({parameter.type}), {got}"
    return ParameterProblem(parameter.name, msg)


def _written(value: Any) -> str:
    """A value about as it was sent, for an error message."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value[:SHOWN]))}]"
    if isinstance(value, dict):
        pairs = list(value.items())[:SHOWN]
        return "{" + ", ".join(f"{name!r}: {_written(item)}" for name, item in pairs) + "}"
    return {True: "true", False: "false", None: "null"}[value] if _is_word(value) else repr(value)


def _is_word(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _missing(parameter: Parameter) -> ParameterProblem:
    msg = f"{parameter.name}: missing; expected {expected(parameter.type)} ({parameter.type})."
    return ParameterProblem(parameter.name, msg)


def _unknown(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> list[ParameterProblem]:
    unknown = given.keys() - {parameter.name for parameter in parameters}
    if not unknown:
        return []
    known = ", ".join(parameter.name for parameter in parameters)
    hint = f"this query's parameters are {known}" if known else "this query takes no parameters"
    names = sorted(map(shortened, unknown))[:20]
    return [ParameterProblem(name, f"{name}: unknown; {hint}.") for name in names]


def shortened(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
