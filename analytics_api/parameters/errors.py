from __future__ import annotations

from dataclasses import dataclass


class TypeRefused(ValueError):
    """A parameter's type that is not known or not allowed; its words say which are."""


class Misfit(ValueError):
    """A value that is not of its type.

    Its text is what was expected; ``reason`` says what is wrong, where that is not plain to see.
    """

    def __init__(self, expected: str, reason: str = "") -> None:
        super().__init__(expected)
        self.reason = reason


class Unfit(ValueError):
    """A value that can't be written as its type. Its text is the reason, or empty."""


@dataclass(frozen=True)
class ParameterProblem:
    """One thing wrong with a call's parameters, in words for the caller."""

    name: str
    message: str


class ParametersRefused(Exception):
    """The caller's parameters don't fit. Attribute: ``problems``, all of them."""

    def __init__(self, problems: tuple[ParameterProblem, ...]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems
