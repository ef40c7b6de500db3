"""Parameters that are names: ``{column:Identifier}``, one of a list that the author wrote.

Such a name is put into the text before anything else looks at it. So the guard and ClickHouse
check, for each allowed name, the very statement that runs, and a caller's own text is never in it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from analytics_api.guard import QueryRefused, lexer
from analytics_api.guard.declared import RESERVED
from analytics_api.guard.lexer import TokenKind
from analytics_api.parameters import Parameter, ParameterProblem, ParametersRefused
from tenants.warehouse.quoting import identifier

_PARAMETER = re.compile(r"\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*:\s*Identifier\s*\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
#: Most names of one parameter, and most statements that are checked for one query.
MAX_NAMES = 50
MAX_STATEMENTS = 100


def order(sql: str) -> tuple[str, ...]:
    """The parameters of ``sql``, of all types, each once and in its order; raises QueryRefused."""
    texts = [one.text for one in lexer.tokens(sql) if one.kind is TokenKind.PARAMETER]
    return tuple(dict.fromkeys(one[1:].partition(":")[0].strip() for one in texts))


def names_in(sql: str) -> tuple[str, ...]:
    """The parameters of ``sql`` that are names, each once; raises QueryRefused."""
    texts = [one.text for one in lexer.tokens(sql) if one.kind is TokenKind.PARAMETER]
    return tuple(dict.fromkeys(one[1] for one in map(_PARAMETER.fullmatch, texts) if one))


def allowed(name: str, described: Any) -> list[str]:
    """The list of names that ``described`` allows; raises QueryRefused."""
    if name in RESERVED:
        msg = f"A parameter can't be called {name}: the endpoint takes that itself."
        raise QueryRefused("parameter", msg)
    given = described.get("allowed") if isinstance(described, Mapping) else None
    names = given if isinstance(given, list) and len(given) <= MAX_NAMES else []
    if not names or not all(map(_is_name, names)):
        msg = (
            f"{{{name}:Identifier}} needs the names that it may be, at most {MAX_NAMES} plain "
            f'ones, among the parameters: {{"{name}": {{"allowed": ["country", "city"]}}}}.'
        )
        raise QueryRefused("parameter", msg)
    return list(dict.fromkeys(names))


def chosen_by_caller(sql: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """For a statement of the caller's own: what ``allowed`` takes, of the names that are given.

    Raises ParametersRefused for what is no plain name, and QueryRefused.
    """
    if _PARAMETER.search(sql) is None:
        return {}  # Without names ClickHouse reads the text, which takes more than the lexer does.
    names = names_in(lexer.without_comments(sql))
    problems = tuple(_no_name(name) for name in names if not _is_name(given.get(name)))
    if problems:
        raise ParametersRefused(problems)
    return {name: {"allowed": [given[name]]} for name in names}


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.match(value) is not None


def _no_name(name: str) -> ParameterProblem:
    return ParameterProblem(
        name, f"{name}: expected the plain name of a column or table (Identifier)."
    )


def statements(sql: str, choices: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Every statement that ``sql`` can become; raises QueryRefused where they are too many."""
    names = list(choices)
    combinations = list(itertools.islice(itertools.product(*choices.values()), MAX_STATEMENTS + 1))
    if len(combinations) > MAX_STATEMENTS:
        msg = f"The names of {', '.join(names)} make more than {MAX_STATEMENTS} statements."
        raise QueryRefused("parameter", f"{msg} Allow fewer names.")
    for one in combinations:
        yield put_in(sql, tuple(zip(names, one, strict=True)))


@lru_cache(maxsize=256)  # each holds two whole texts
def put_in(sql: str, chosen: tuple[tuple[str, str], ...]) -> str:
    """``sql`` with the chosen names, in backticks, in place of the parameters."""
    names = dict(chosen)
    parts: list[str] = []
    end = 0
    for token in lexer.tokens(sql):
        found = _PARAMETER.fullmatch(token.text) if token.kind is TokenKind.PARAMETER else None
        if found is not None and found[1] in names:
            parts += [sql[end : token.start], identifier(names[found[1]])]
            end = token.start + len(token.text)
    return "".join([*parts, sql[end:]])


def filled(
    sql: str, parameters: Sequence[Parameter], bound: Mapping[str, str]
) -> tuple[str, Mapping[str, str]]:
    """The statement with its names in it, and what is left to be bound."""
    names = [one.name for one in parameters if one.is_name]
    if not names:
        return sql, bound
    chosen = tuple((name, bound[f"param_{name}"]) for name in names)
    keys = {f"param_{name}" for name in names}
    return put_in(sql, chosen), {key: text for key, text in bound.items() if key not in keys}
