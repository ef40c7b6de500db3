"""Reads an expression and writes it over the columns of the typing SELECT.

It is that of a computed column, or the filter of a source.

It is a part of ClickHouse's SQL: columns, literals, operators and the functions of
``expression_functions``. What the engine gets is written anew from what was read, so nothing else
can reach it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from ingestion.ddl.expression_functions import (
    ALLOWED,
    CONVERSIONS,
    TAKES_ANY,
    WRITTEN_OUT,
)
from ingestion.ddl.expression_tokens import (
    WORDS,
    ExpressionProblem,
    Token,
    columns_of,
    tokens,
)
from ingestion.ddl.types import FLOATS, INTEGERS, ColumnType, parse

#: How deeply brackets may stand within brackets.
DEEPEST = 12
_COMPARISONS = frozenset({"=", "!=", "<>", "<", "<=", ">", ">="})
_NUMERIC = frozenset({*INTEGERS, *FLOATS})


#: Types of columns by name.
Types = Mapping[str, str]


def sql(expression: str, types: Types, name_of: Callable[[str], str]) -> str:
    """The expression over the names that ``name_of`` gives to columns; raises ExpressionProblem."""
    return _Reader(tokens(expression), types, name_of).whole()


def conjuncts(
    expression: str, types: Types, name_of: Callable[[str], str]
) -> list[tuple[str, frozenset[str]]]:
    """The conditions that AND joins, and the columns that each reads; raises ExpressionProblem.

    A condition is SQL, as that of ``sql``. Without AND outside of brackets it is one.
    """
    whole = sql(expression, types, name_of)
    found = tokens(expression)
    parts = _split(found)
    if len(parts) == 1:
        return [(whole, columns_of(found))]
    return [(_Reader(part, types, name_of).whole(), columns_of(part)) for part in parts]


def _split(found: Sequence[Token]) -> list[list[Token]]:
    """The tokens between the ANDs outside of brackets; all of them if an OR is there too."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for kind, text in found:
        word = text.upper() if kind == "name" and not depth else ""
        if word == "OR":
            return [list(found)]
        if kind == "sign":
            depth += {"(": 1, ")": -1}.get(text, 0)
        if word == "AND":
            parts.append([])
        else:
            parts[-1].append((kind, text))
    return parts


class _Reader:
    """A reader by recursive descent; each method returns SQL."""

    def __init__(self, found: Sequence[Token], types: Types, name_of: Callable[[str], str]) -> None:
        self._tokens, self._types, self._name_of = found, types, name_of
        self._at = self._depth = 0
        self._has_arithmetic = False
        #: Columns that operators read, or functions that calculate with them.
        self._plain: list[str] = []

    def whole(self) -> str:
        written = self._either()
        if self._at < len(self._tokens):
            msg = f"{self._next!r} is not expected there. Write one ClickHouse expression."
            raise ExpressionProblem(msg)
        self._check_numbers()
        return written

    def _check_numbers(self) -> None:
        """Refuse what overflows for some rows, which the engine would raise for."""
        kinds = {name: parse(self._types[name]).bare for name in self._plain}
        for name, kind in kinds.items():
            if kind.name == "Decimal":
                msg = (
                    f"{name} is {kind}, and calculating with it can overflow. Write "
                    f"toFloat64({name}) or toString({name})."
                )
                raise ExpressionProblem(msg)
            if self._has_arithmetic and kind.name not in _NUMERIC:
                msg = f"{name} is {kind}: + - * / are for integers and floats alone."
                raise ExpressionProblem(msg)
            if kind.name == "DateTime64" and any(map(partial(_may_overflow, kind), kinds.values())):
                msg = (
                    f"{name} is {kind}: beside numbers, or times of another precision, it can "
                    "overflow. Split the expression over several columns."
                )
                raise ExpressionProblem(msg)

    @property
    def _next(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    @property
    def _kind(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _takes(self, *wanted: str) -> str:
        """The next token in upper case if it is one of ``wanted``, which it passes; else ''."""
        word = self._next.upper() if self._kind == "name" else self._next
        if self._kind == "text" or word not in wanted:
            return ""
        self._at += 1
        return word

    def _expects(self, wanted: str) -> None:
        if not self._takes(wanted):
            where = f"before {self._next!r}" if self._next else "at its end"
            msg = f"{wanted} is missing {where}."
            raise ExpressionProblem(msg)

    def _either(self) -> str:
        written = self._both()
        while self._takes("OR"):
            written = f"({written} OR {self._both()})"
        return written

    def _both(self) -> str:
        written = self._inverted()
        while self._takes("AND"):
            written = f"({written} AND {self._inverted()})"
        return written

    def _inverted(self) -> str:
        if self._takes("NOT"):
            return f"(NOT {self._deeper(self._inverted)})"
        return self._compared()

    def _compared(self) -> str:
        written = self._sum()
        if sign := self._takes(*_COMPARISONS):
            return f"({written} {sign} {self._sum()})"
        if self._takes("IS"):
            word = "NOT NULL" if self._takes("NOT") else "NULL"
            self._expects("NULL")
            return f"({written} IS {word})"
        word = "NOT IN" if self._takes("NOT") else "IN"
        if word == "NOT IN" or self._next.upper() == "IN":
            self._expects("IN")
            self._expects("(")
            return f"({written} {word} ({', '.join(self._list(self._literal))}))"
        return written

    def _sum(self) -> str:
        return self._calculated(self._product, "+", "-")

    def _product(self) -> str:
        return self._calculated(self._signed, "*", "/")

    def _calculated(self, operand: Callable[[], str], *signs: str) -> str:
        written = operand()
        while sign := self._takes(*signs):
            self._has_arithmetic = True
            written = f"({written} {sign} {operand()})"
        return written

    def _signed(self) -> str:
        is_number = [kind for kind, _ in self._tokens[self._at + 1 : self._at + 2]] == ["number"]
        if not is_number and self._takes("-"):
            self._has_arithmetic = True
            # With a blank: two signs in a row would begin a comment.
            return f"(- {self._deeper(self._signed)})"
        return self._primary()

    def _primary(self) -> str:
        if self._takes("("):
            written = self._deeper(self._either)
            self._expects(")")
            return f"({written})"
        if self._kind == "name" and self._next.upper() not in WORDS:
            name = self._next
            self._at += 1
            return self._call(name) if self._takes("(") else self._column(name)
        return self._literal()

    def _literal(self) -> str:
        if word := self._takes("NULL", "TRUE", "FALSE"):
            return word
        sign = "-" if self._takes("-") else ""
        if self._kind == "number" or (self._kind == "text" and not sign):
            self._at += 1
            return sign + self._tokens[self._at - 1][1]
        where = f"at {self._next!r}" if self._next else "at its end"
        msg = f"A column, a function, a number or a text in single quotes is missing {where}."
        raise ExpressionProblem(msg)

    def _column(self, name: str) -> str:
        if name not in self._types:
            known = ", ".join(self._types)
            msg = f"There is no column {name!r} that it can read. Columns: {known}."
            raise ExpressionProblem(msg)
        self._plain.append(name)
        return self._name_of(name)

    def _call(self, name: str) -> str:
        if name in CONVERSIONS or name == "toString":
            return self._conversion(name)
        if name not in ALLOWED:
            raise ExpressionProblem(_no_function(name))
        before = len(self._plain)
        arguments = self._written_out(name) if name in WRITTEN_OUT else self._list(self._either)
        if name in TAKES_ANY:
            read = self._plain[before:]
            self._plain[before:] = [one for one in read if self._name_of(one) not in arguments]
        return f"{name}({', '.join(arguments)})"

    def _written_out(self, name: str) -> Sequence[str]:
        """Arguments of which all but the first are literals."""
        arguments = [self._deeper(self._either)]
        while self._takes(","):
            if self._kind not in {"number", "text"} and self._next != "-":
                msg = (
                    f"{name} takes numbers, or a text in single quotes, after its first argument: "
                    f"{self._next!r} is neither, and could fail for a single row."
                )
                raise ExpressionProblem(msg)
            arguments.append(self._literal())
        self._expects(")")
        return arguments

    def _conversion(self, name: str) -> str:
        """A function that takes the name of a column; of ``toString`` it may be any value."""
        before = len(self._plain)
        arguments = self._list(self._either)
        read = self._plain[before:]
        if len(read) == 1 and arguments == [self._name_of(read[0])]:
            kind = parse(self._types[read[0]]).bare.name
            if name == "toString" or kind.startswith(CONVERSIONS[name]):
                del self._plain[before:]
                return f"{name}({arguments[0]})"
        if name == "toString":
            return f"{name}({', '.join(arguments)})"
        kinds = "numbers" if name == "toFloat64" else "dates or times"
        msg = f"{name} takes the name of a column of {kinds}: for other values it can fail."
        raise ExpressionProblem(msg)

    def _list(self, item: Callable[[], str]) -> Sequence[str]:
        """The items up to the closing bracket; the opening one has been read."""
        items = [self._deeper(item)]
        while self._takes(","):
            items.append(self._deeper(item))
        self._expects(")")
        return items

    def _deeper(self, item: Callable[[], str]) -> str:
        self._depth += 1
        if self._depth > DEEPEST:
            msg = f"Its brackets are more than {DEEPEST} deep. Split it over several columns."
            raise ExpressionProblem(msg)
        written = item()
        self._depth -= 1
        return written


def _may_overflow(time: ColumnType, other: ColumnType) -> bool:
    if other.name == "DateTime64":
        return other.number != time.number
    return other.name in _NUMERIC


def _no_function(name: str) -> str:
    by_lower = {known.lower(): known for known in ALLOWED | CONVERSIONS.keys()}
    if name.lower() in by_lower:
        return f"There is no function {name}. Write {by_lower[name.lower()]}."
    known = ", ".join(sorted(by_lower.values(), key=str.lower))
    return (
        f"{name} can't be used: it is unknown, can fail for a single row, or can give another "
        f"value the next time. Functions: {known}."
    )
