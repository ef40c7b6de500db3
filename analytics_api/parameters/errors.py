from __future__ import annotations

from dataclasses import dataclass


class TypeRefused(ValueError):
    """A parameter's type that is not known or not allowed; its words say which are."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a call's parameters, in words for the caller."""

    name: str
    message: str


class ParametersRefused(Exception):
    """The caller's parameters don't fit. Attribute: ``problems``, all of them."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems
