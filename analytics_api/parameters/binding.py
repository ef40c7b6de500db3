from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analytics_api.parameters.errors import ParametersRefused, Problem
from analytics_api.parameters.types import ParameterType, parse
from analytics_api.parameters.values import Misfit, encode, expected

#: Characters of a value that an error repeats.
SHOWN = 60


@dataclass(frozen=True)
class Parameter:
    """A parameter of a published query.

    ``default`` is the encoded value of one that may be left out, None where it must be given.
    """

    name: str
    type: ParameterType
    default: str | None = None
    description: str = ""


def load(stored: Iterable[Mapping[str, Any]]) -> tuple[Parameter, ...]:
    """Parameters as a version stores them, ``[{name, type, default?, description?}]``."""
    return tuple(_load(one) for one in stored)


def _load(stored: Mapping[str, Any]) -> Parameter:
    kind = parse(stored["type"])
    default = encode(kind, stored["default"]) if "default" in stored else None
    return Parameter(stored["name"], kind, default, stored.get("description", ""))


def bind(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, str]:
    """``param_<name>`` for each parameter, from values as JSON has them.

    Raises ParametersRefused with every problem at once: misfits, missing ones, unknown ones.
    """
    problems: list[Problem] = []
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
    """Values of a query string, in which a key may come several times for an array.

    Raises ParametersRefused where a key comes twice for what is not an array.
    """
    types = {parameter.name: parameter.type for parameter in parameters}
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, texts in pairs.items():
        kind = types.get(name)
        is_array = kind is not None and kind.base == "Array"
        if is_array and not (len(texts) == 1 and texts[0].lstrip().startswith("[")):
            values[name] = list(texts)
        elif len(texts) == 1:
            values[name] = texts[0]
        else:
            msg = f"{shortened(name)}: given {len(texts)} times; expected once."
            problems.append(Problem(shortened(name), msg))
    if problems:
        raise ParametersRefused(tuple(problems))
    return values


def _misfit(parameter: Parameter, misfit: Misfit, value: Any) -> Problem:
    msg = f"{parameter.name}: expected {misfit} ({parameter.type}), got {shortened(repr(value))}."
    return Problem(parameter.name, msg)


def _missing(parameter: Parameter) -> Problem:
    msg = f"{parameter.name}: missing; expected {expected(parameter.type)} ({parameter.type})."
    return Problem(parameter.name, msg)


def _unknown(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> list[Problem]:
    unknown = given.keys() - {parameter.name for parameter in parameters}
    if not unknown:
        return []
    known = ", ".join(parameter.name for parameter in parameters)
    hint = f"this query's parameters are {known}" if known else "this query takes no parameters"
    names = sorted(map(shortened, unknown))[:20]
    return [Problem(name, f"{name}: unknown; {hint}.") for name in names]


def shortened(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
