"""Reads the parameters that a statement declares."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from analytics_api.guard.errors import QueryRefused
from analytics_api.guard.lexer import Token, TokenKind
from analytics_api.parameters.errors import TypeRefused
from analytics_api.parameters.types import ParameterType, parse

# The type's blanks are taken off later: a pattern that does it tries each of them again and again.
_PARAMETER = re.compile(r"\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*:(.*)\}", re.DOTALL)
#: Names that the endpoint itself takes from the query string.
RESERVED = frozenset({"format"})


@dataclass(frozen=True)
class Declared:
    """A parameter as the SQL declares it, ``{name:Type}``."""

    name: str
    type: ParameterType


def find(tokens: Iterable[Token]) -> tuple[Declared, ...]:
    """The parameters among ``tokens``, each once; raises QueryRefused."""
    declared: dict[str, Declared] = {}
    for token in tokens:
        if token.kind is TokenKind.PARAMETER:
            parameter = _read(token)
            earlier = declared.setdefault(parameter.name, parameter)
            if earlier != parameter:
                msg = (
                    f"{{{parameter.name}}} is {earlier.type} and {parameter.type}. Choose one type."
                )
                raise QueryRefused("parameter", msg, token.start)
    return tuple(declared.values())


def _read(token: Token) -> Declared:
    parts = _PARAMETER.fullmatch(token.text)
    if parts is None:
        msg = f"{token.text[:60]} is not a parameter. Write {{name:Type}}."
        raise QueryRefused("parameter", msg, token.start)
    if parts[1] in RESERVED:
        msg = f"A parameter can't be called {parts[1]}: the endpoint itself takes that name."
        raise QueryRefused("parameter", msg, token.start)
    try:
        return Declared(parts[1], parse(parts[2].strip()))
    except TypeRefused as error:
        msg = f"{{{parts[1]}}}: {error}"
        raise QueryRefused("parameter", msg, token.start) from None
