"""Parameters that are names: ``{column:Identifier}`` stands for one name of the author's list.

The name is put into the text before the guard and ClickHouse check it. So they check, for each
allowed name, exactly the statement that runs, and a caller's own text never gets into it.
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
#: How many names one parameter may have, and how many statements are checked for one query.
MAX_NAMES = 50
MAX_STATEMENTS = 100


def order(sql: str) -> tuple[str, ...]:
    """Names of the parameters of ``sql``, each once, in its order; raises QueryRefused."""
    texts = _parameter_texts(sql)
    return tuple(dict.fromkeys(text[1:].partition(":")[0].strip() for text in texts))


def names_in(sql: str) -> tuple[str, ...]:
    """Names of the Identifier parameters of ``sql``, each once; raises QueryRefused."""
    matches = map(_PARAMETER.fullmatch, _parameter_texts(sql))
    return tuple(dict.fromkeys(match[1] for match in matches if match))


def _parameter_texts(sql: str) -> list[str]:
    return [token.text for token in lexer.tokens(sql) if token.kind is TokenKind.PARAMETER]


def allowed(name: str, described: Any) -> list[str]:
    """The list of names that ``described`` allows; raises QueryRefused."""
    if name in RESERVED:
        msg = f"A parameter can't be called {name}: the endpoint itself takes that name."
        raise QueryRefused("parameter", msg)
    given = described.get("allowed") if isinstance(described, Mapping) else None
    names = given if isinstance(given, list) and len(given) <= MAX_NAMES else []
    if not names or not all(map(_is_name, names)):
        msg = (
            f"{{{name}:Identifier}} needs the names that it may stand for, at most {MAX_NAMES} "
            f'plain ones, in the parameters: {{"{name}": {{"allowed": ["country", "city"]}}}}.'
        )
        raise QueryRefused("parameter", msg)
    return list(dict.fromkeys(names))


def chosen_by_caller(sql: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """For the caller's own SQL: descriptions that allow just the names in ``given``.

    Raises ParametersRefused for a value that is not a plain name, and QueryRefused.
    """
    if _PARAMETER.search(sql) is None:
        return {}  # Without names ClickHouse reads the text, and it accepts more than the lexer.
    names = names_in(lexer.without_comments(sql))
    problems = tuple(_not_a_name(name) for name in names if not _is_name(given.get(name)))
    if problems:
        raise ParametersRefused(problems)
    return {name: {"allowed": [given[name]]} for name in names}


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.match(value) is not None


def _not_a_name(name: str) -> ParameterProblem:
    return ParameterProblem(
        name, f"{name}: expected the plain name of a column or table (Identifier)."
    )


def statements(sql: str, choices: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Every statement that ``sql`` can become; raises QueryRefused for more than MAX_STATEMENTS."""
    names = list(choices)
    combinations = list(itertools.islice(itertools.product(*choices.values()), MAX_STATEMENTS + 1))
    if len(combinations) > MAX_STATEMENTS:
        msg = f"The names of {', '.join(names)} make more than {MAX_STATEMENTS} statements."
        raise QueryRefused("parameter", f"{msg} Allow fewer names.")
    for combination in combinations:
        yield put_in(sql, tuple(zip(names, combination, strict=True)))


@lru_cache(maxsize=256)  # an entry holds two whole texts
def put_in(sql: str, chosen: tuple[tuple[str, str], ...]) -> str:
    """``sql`` with the chosen names, in backticks, in place of the parameters."""
    names = dict(chosen)
    parts: list[str] = []
    end = 0
    for token in lexer.tokens(sql):
        match = _PARAMETER.fullmatch(token.text) if token.kind is TokenKind.PARAMETER else None
        if match is not None and match[1] in names:
            parts += [sql[end : token.start], identifier(names[match[1]])]
            end = token.start + len(token.text)
    return "".join([*parts, sql[end:]])


def filled(
    sql: str, parameters: Sequence[Parameter], bound: Mapping[str, str]
) -> tuple[str, Mapping[str, str]]:
    """The statement with its names put in, and the values that ClickHouse is left to bind."""
    names = [parameter.name for parameter in parameters if parameter.is_name]
    if not names:
        return sql, bound
    chosen = tuple((name, bound[f"param_{name}"]) for name in names)
    keys = {f"param_{name}" for name in names}
    return put_in(sql, chosen), {key: text for key, text in bound.items() if key not in keys}
