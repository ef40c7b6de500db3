"""Errors about parameters: of a declared type, of one value, of a whole call."""

from __future__ import annotations

from dataclasses import dataclass


class TypeRefused(ValueError):
    """The type of a parameter is unknown or not allowed. Its text lists the allowed types."""


class Misfit(ValueError):
    """A value does not fit its parameter's type.

    Its text says what was expected. ``reason`` says what is wrong with the value, unless that is
    obvious.
    """

    def __init__(self, expected: str, reason: str = "") -> None:
        super().__init__(expected)
        self.reason = reason


class Unfit(ValueError):
    """A value can't be written as its type. Its text is the reason, or empty."""


@dataclass(frozen=True)
class ParameterProblem:
    """One problem with a call's parameters, with a message for the caller."""

    name: str
    message: str


class ParametersRefused(Exception):
    """The caller's parameters don't fit. ``problems`` lists every problem."""

    def __init__(self, problems: tuple[ParameterProblem, ...]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems
