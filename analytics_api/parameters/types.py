"""Parses the types of parameters from ClickHouse's notation into a tree, by an allow-list.

``parse`` does not accept ``Identifier``: such a parameter is not a value but a name in the SQL (see
``analytics_api.identifiers``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from analytics_api.parameters.errors import TypeRefused
from tenants.warehouse.quoting import string, unquoted

_INTEGER = re.compile(r"U?Int(8|16|32|64|128|256)\Z")
_PLAIN = frozenset(
    {
        "String",
        "Bool",
        "Float32",
        "Float64",
        "Date",
        "Date32",
        "DateTime",
        "DateTime64",
        "UUID",
        "IPv4",
        "IPv6",
    }
)
_TOKEN = re.compile(r"\s*(?:([A-Za-z_][A-Za-z0-9_]*)|('(?:[^'\\]|\\.|'')*')|(-?\d+)|([(),=]))")
_ALLOWED = (
    "Int8 to Int256, UInt8 to UInt256, Float32, Float64, Decimal(P, S), Bool, String, "
    "FixedString(N), Date, Date32, DateTime, DateTime64(P), UUID, IPv4, IPv6, Enum8, Enum16, "
    "Nullable(T), LowCardinality(T), Array(T), Map(K, V), Tuple(T, …), and Identifier"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
#: Types whose values contain other values.
COMPOSITES = ("Array", "Map", "Tuple")
#: The type of a parameter that is a name in the SQL. ``parse`` refuses it.
IDENTIFIER = "Identifier"
MAX_DEPTH = 4


@dataclass(frozen=True)
class ParameterType:
    """A type as a tree.

    ``base`` is the type's name and ``inner`` the types in its brackets. ``numbers`` are its
    integers (precision and scale of a Decimal, length of a FixedString, digits of a DateTime64).
    ``choices`` are the names and numbers of an Enum, ``zone`` is the time zone of a DateTime or
    DateTime64, and ``names`` are the names of a Tuple's elements, if they have any.
    """

    base: str
    inner: tuple[ParameterType, ...] = ()
    numbers: tuple[int, ...] = ()
    choices: tuple[tuple[str, int], ...] = ()
    zone: str = ""
    names: tuple[str, ...] = ()

    @property
    def is_nullable(self) -> bool:
        return self.base == "Nullable" or (
            self.base == "LowCardinality" and self.inner[0].is_nullable
        )

    def __str__(self) -> str:
        if self.base == IDENTIFIER:
            return self.base
        arguments = [str(argument) for argument in (*self.inner, *self.numbers)]
        if self.names:
            pairs = zip(self.names, arguments, strict=True)
            arguments = [f"{name} {kind}" for name, kind in pairs]
        arguments += [f"{string(name)} = {value}" for name, value in self.choices]
        arguments += [string(self.zone)] if self.zone else []
        return f"{self.base}({', '.join(arguments)})" if arguments else self.base


def names_of(allowed: Iterable[str]) -> ParameterType:
    """The type of an Identifier parameter that may be one of these names."""
    return ParameterType(IDENTIFIER, choices=tuple((name, 0) for name in allowed))


@lru_cache(maxsize=4096)
def parse(text: str) -> ParameterType:
    """The tree of ``text``, such as ``Array(Nullable(UInt8))``; raises TypeRefused."""
    reader = _TypeReader(text)
    kind = reader.type(0)
    reader.end()
    return kind


class _TypeReader:
    """Reads a type from left to right. Each method removes the tokens that it reads."""

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        self.tokens: list[str] = []
        position = 0
        while position < len(self.text):
            match = _TOKEN.match(self.text, position)
            if match is None:
                raise self.refused()
            self.tokens.append(match[0].strip())
            position = match.end()

    def refused(self) -> TypeRefused:
        return TypeRefused(
            f"A parameter can't have the type {self.text!r}. Allowed types: {_ALLOWED}."
        )

    def next(self) -> str:
        if not self.tokens:
            raise self.refused()
        return self.tokens.pop(0)

    def expect(self, token: str) -> None:
        if self.next() != token:
            raise self.refused()

    def end(self) -> None:
        if self.tokens:
            raise self.refused()

    def integer(self, least: int, most: int) -> int:
        try:
            value = int(self.next())
        except ValueError:
            raise self.refused() from None
        if not least <= value <= most:
            raise self.refused()
        return value

    def type(self, depth: int) -> ParameterType:
        base = self.next()
        if depth > MAX_DEPTH:
            raise self.refused()
        special: dict[str, Callable[[str, int], ParameterType]] = {
            "Nullable": self.wrapper,
            "LowCardinality": self.wrapper,
            "Array": self.wrapper,
            "Map": self.map,
            "Tuple": self.elements,
            "Decimal": self.decimal,
            "FixedString": self.fixed_string,
            "Enum": self.enum,
            "Enum8": self.enum,
            "Enum16": self.enum,
            "DateTime": self.date_time,
            "DateTime64": self.date_time,
        }
        if base in special:
            return special[base](base, depth)
        if base in _PLAIN or _INTEGER.match(base):
            return ParameterType(base)
        raise self.refused()

    def wrapper(self, base: str, depth: int) -> ParameterType:
        self.expect("(")
        inner = self.type(depth + 1)
        self.expect(")")
        composite = inner.base in COMPOSITES
        if (base == "Nullable" and (composite or inner.base in ("Nullable", "LowCardinality"))) or (
            base == "LowCardinality" and (composite or inner.base == "LowCardinality")
        ):
            raise self.refused()
        return ParameterType(base, (inner,))

    def map(self, base: str, depth: int) -> ParameterType:
        self.expect("(")
        key = self.type(depth + 1)
        self.expect(",")
        value = self.type(depth + 1)
        self.expect(")")
        if key.base in COMPOSITES or key.is_nullable:
            raise self.refused()
        return ParameterType(base, (key, value))

    def elements(self, base: str, depth: int) -> ParameterType:
        """A Tuple's elements: types, or names with types."""
        self.expect("(")
        names: list[str] = []
        inner: list[ParameterType] = []
        separator = ","
        while separator == ",":
            if len(self.tokens) > 1 and _NAME.match(self.tokens[1]):
                names.append(self.next())
            inner.append(self.type(depth + 1))
            separator = self.next()
        if separator != ")" or (names and len(set(names)) != len(inner)):
            raise self.refused()
        return ParameterType(base, tuple(inner), names=tuple(names))

    def decimal(self, base: str, _: int) -> ParameterType:
        self.expect("(")
        precision = self.integer(1, 76)
        scale = 0
        if self.tokens[:1] == [","]:
            self.next()
            scale = self.integer(0, precision)
        self.expect(")")
        return ParameterType(base, numbers=(precision, scale))

    def fixed_string(self, base: str, _: int) -> ParameterType:
        self.expect("(")
        length = self.integer(1, 65_536)
        self.expect(")")
        return ParameterType(base, numbers=(length,))

    def enum(self, base: str, _: int) -> ParameterType:
        self.expect("(")
        choices: list[tuple[str, int]] = []
        while True:
            name = self.next()
            if not name.startswith("'"):
                raise self.refused()
            number = choices[-1][1] + 1 if choices else 1
            if self.tokens[:1] == ["="]:
                self.next()
                number = self.integer(-32_768, 32_767)
            choices.append((unquoted(name), number))
            if self.next() == ")":
                return ParameterType(base, choices=tuple(choices))

    def date_time(self, base: str, _: int) -> ParameterType:
        numbers: tuple[int, ...] = ()
        zone = ""
        if self.tokens[:1] == ["("]:
            self.next()
            if base == "DateTime64":
                numbers = (self.integer(0, 9),)
            if base == "DateTime" or self.tokens[:1] == [","]:
                if base == "DateTime64":
                    self.next()
                zone = unquoted(self.next())
                if not re.match(r"[A-Za-z][A-Za-z0-9_+\-/]{0,63}\Z", zone):
                    raise self.refused()
            self.expect(")")
        return ParameterType(base, numbers=numbers, zone=zone)
