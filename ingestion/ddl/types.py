"""Parses the ClickHouse types that a column may have.

Sources: clickhouse.com/docs/sql-reference/data-types and the pages below it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from zoneinfo import available_timezones

from tenants.warehouse.quoting import identifier, string, unquoted, unquoted_identifier

_TOKEN = re.compile(
    r"\s*('(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\[`\\]|``)*`|[A-Za-z_][A-Za-z0-9_]*|-?\d+|[(),=])"
)
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

INTEGERS = {
    f"{sign}Int{bits}": (
        0 if sign else -(1 << (bits - 1)),
        (1 << (bits if sign else bits - 1)) - 1,
    )
    for sign in ("", "U")
    for bits in (8, 16, 32, 64, 128, 256)
}
FLOATS = ("Float32", "Float64")
CONTAINERS = frozenset({"Array", "Map", "Tuple"})
_DECIMALS = {"Decimal32": 9, "Decimal64": 18, "Decimal128": 38, "Decimal256": 76}
_PLAIN = frozenset({*INTEGERS, *FLOATS, "String", "Bool", "Date", "Date32", "UUID", "IPv4", "IPv6"})
KNOWN = (
    "Bool, Int8 to Int256, UInt8 to UInt256, Float32, Float64, Decimal(P, S), String, "
    "FixedString(N), Date, Date32, DateTime, DateTime64(P), UUID, IPv4, IPv6, Enum8, Enum16, and "
    "Nullable(T), LowCardinality(T), Array(T), Map(String, T), Tuple(name T, …), Nested(name T, …)"
)


class UnknownType(ValueError):
    """The text is not a type that a column may have; the message says why and what to write."""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A type: ``name`` without arguments, ``args`` as types, numbers and texts."""

    name: str
    args: tuple[ColumnType | int | str, ...] = ()

    def __str__(self) -> str:
        if not self.args:
            return self.name
        if self.name in {"Enum8", "Enum16"}:
            pairs = zip(self.args[::2], self.args[1::2], strict=True)
            return f"{self.name}({', '.join(f'{string(str(k))} = {v}' for k, v in pairs)})"
        if self.name == "Tuple":
            members = (f"{_quoted(name)} {kind}" for name, kind in self.members)
            return f"Tuple({', '.join(members)})"
        return f"{self.name}({', '.join(_shown(one) for one in self.args)})"

    @property
    def inner(self) -> ColumnType:
        """The type in the last argument, as in Array(T) and Map(K, T)."""
        last = self.args[-1]
        if not isinstance(last, ColumnType):
            raise TypeError(self)
        return last

    @property
    def bare(self) -> ColumnType:
        """The type without Nullable and LowCardinality around it."""
        return self.inner.bare if self.name in {"Nullable", "LowCardinality"} else self

    @property
    def is_nullable(self) -> bool:
        return self.name == "Nullable" or (self.name == "LowCardinality" and self.inner.is_nullable)

    @property
    def number(self) -> int:
        """The first argument of types whose first argument is a number."""
        return int(str(self.args[0]))

    @property
    def members(self) -> tuple[tuple[str, ColumnType], ...]:
        """The elements of a Tuple: their names and types."""
        pairs = zip(self.args[::2], self.args[1::2], strict=True)
        return tuple((str(name), kind) for name, kind in pairs if isinstance(kind, ColumnType))

    @property
    def names(self) -> tuple[str, ...]:
        """The names that an Enum allows."""
        return tuple(str(one) for one in self.args[::2])


def parse(text: str) -> ColumnType:
    """Parse a type; raises UnknownType."""
    tokens = _tokens(text)
    kind = _type(tokens, text)
    if tokens:
        raise UnknownType(f"{text!r} has {tokens[0]!r} after {kind}. Remove it.")
    _refuse_nesting(kind, text)
    return kind


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    stripped = text.rstrip()
    while at < len(stripped):
        match = _TOKEN.match(stripped, at)
        if match is None:
            raise UnknownType(
                f"{text!r} is not a type: {stripped[at:].strip()!r} is not understood."
            )
        found.append(match[1])
        at = match.end()
    return found


def _type(tokens: list[str], text: str) -> ColumnType:
    name = tokens.pop(0) if tokens else ""
    if name in {"Tuple", "Nested"}:
        made = ColumnType("Tuple", _members(name, tokens, text))
        return ColumnType("Array", (made,)) if name == "Nested" else made
    args = _arguments(tokens, text) if tokens and tokens[0] == "(" else []
    builder = _BUILDERS.get(name)
    if builder is not None:
        return builder(name, args)
    if name in _PLAIN and not args:
        return ColumnType(name)
    if name in _PLAIN:
        raise UnknownType(f"{name} takes no arguments. Write {name}.")
    raise UnknownType(f"{name or text!r} is not a type that a column may have. Types: {KNOWN}.")


def _arguments(tokens: list[str], text: str) -> list[ColumnType | int | str]:
    tokens.pop(0)
    args: list[ColumnType | int | str] = []
    while tokens and tokens[0] != ")":
        token = tokens[0]
        if token[0] == "'":
            args.append(unquoted(tokens.pop(0)))
        elif token.lstrip("-").isdigit():
            args.append(int(tokens.pop(0)))
        elif token in {",", "="}:
            tokens.pop(0)
        else:
            args.append(_type(tokens, text))
    if not tokens:
        raise UnknownType(f"{text!r} lacks a closing bracket.")
    tokens.pop(0)
    return args


def _members(name: str, tokens: list[str], text: str) -> tuple[ColumnType | str, ...]:
    """The names and types in the brackets, in turn."""
    members: dict[str, ColumnType] = {}
    following = tokens.pop(0) if tokens else ""
    if following != "(" or tokens[:1] == [")"]:
        raise UnknownType(f"{name} needs its elements, as in {name}(sku String, price Float64).")
    while following != ")":
        if len(tokens) < 2:
            raise UnknownType(f"{text!r} lacks a closing bracket.")
        member = _member(name, tokens)
        if member in members:
            raise UnknownType(f"{name} has the name {member!r} twice. Each must be unique.")
        members[member] = _type(tokens, text)
        following = tokens.pop(0) if tokens else ""
        if following not in {",", ")"}:
            raise UnknownType(f"{text!r} lacks a comma or a closing bracket after {member}.")
    return tuple(part for pair in members.items() for part in pair)


def _member(name: str, tokens: list[str]) -> str:
    """The name of an element, which is a key of the object."""
    token = tokens.pop(0)
    member = unquoted_identifier(token) if token.startswith("`") else token
    if tokens[0] in {",", ")", "("} or not (token.startswith("`") or _PLAIN_NAME.match(token)):
        raise UnknownType(
            f"Each element of {name} needs a name, the key in the object, and a type, as in "
            f"{name}(sku String, `list price` Float64)."
        )
    if member in {"", "null"} or not member.isprintable():
        raise UnknownType(f"ClickHouse has no element of the name {member!r}. Use a Map.")
    return member


def _quoted(name: str) -> str:
    return name if _PLAIN_NAME.match(name) else identifier(name)


# --- Types with arguments -----------------------------------------------------------------------

Args = list["ColumnType | int | str"]


def _wrapper(name: str, args: Args) -> ColumnType:
    if len(args) != 1 or not isinstance(args[0], ColumnType):
        raise UnknownType(f"{name} takes one type, as in {name}(String).")
    return ColumnType(name, (args[0],))


def _map(name: str, args: Args) -> ColumnType:
    kinds = [one for one in args if isinstance(one, ColumnType)]
    if len(args) != 2 or len(kinds) != 2 or kinds[0].bare != ColumnType("String"):
        raise UnknownType("Map takes String and a type, as in Map(String, UInt64): keys are texts.")
    if kinds[0].is_nullable:
        raise UnknownType("The keys of a Map can't be Nullable.")
    return ColumnType(name, tuple(kinds))


def _decimal(name: str, args: Args) -> ColumnType:
    if name in _DECIMALS:
        args = [_DECIMALS[name], *args]
    numbers = [one for one in args if isinstance(one, int)]
    if len(args) != 2 or len(numbers) != 2:
        raise UnknownType("A decimal has precision and scale, as in Decimal(18, 4).")
    precision, scale = numbers
    if not 1 <= precision <= 76 or not 0 <= scale <= precision:
        raise UnknownType("A Decimal has 1 to 76 digits. Its scale can't exceed its precision.")
    return ColumnType("Decimal", (precision, scale))


def _fixed(name: str, args: Args) -> ColumnType:
    if len(args) != 1 or not isinstance(args[0], int) or not 1 <= args[0] <= 65_536:
        raise UnknownType("FixedString needs a number of bytes, as in FixedString(16).")
    return ColumnType(name, (args[0],))


def _datetime(name: str, args: Args) -> ColumnType:
    if args and (len(args) > 1 or not isinstance(args[0], str)):
        raise UnknownType("DateTime takes a time zone or nothing, as in DateTime('UTC').")
    return ColumnType(name, tuple(zone_named(str(one)) for one in args))


def _datetime64(name: str, args: Args) -> ColumnType:
    good = 1 <= len(args) <= 2 and isinstance(args[0], int) and 0 <= args[0] <= 9
    if not good or not all(isinstance(one, str) for one in args[1:]):
        raise UnknownType(
            "DateTime64 needs a precision from 0 to 9, and may have a time zone, as in "
            "DateTime64(3, 'UTC')."
        )
    return ColumnType(name, (int(str(args[0])), *(zone_named(str(one)) for one in args[1:])))


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    """All time zones. Cached, because listing their files takes some 20 ms."""
    return frozenset(available_timezones())


def zone_named(name: str) -> str:
    """The name, if it is that of a time zone; raises UnknownType."""
    if name not in _zones():
        raise UnknownType(f"{name!r} is not a time zone. Write it as 'Europe/Zurich' or 'UTC'.")
    return name


def _enum(name: str, args: Args) -> ColumnType:
    if not args or not isinstance(args[0], str):
        raise UnknownType(f"{name} needs its values, as in {name}('open' = 1, 'closed' = 2).")
    full: list[ColumnType | int | str] = []
    for index, one in enumerate(args):
        if isinstance(one, str):
            following = args[index + 1] if index + 1 < len(args) else None
            number = following if isinstance(following, int) else len(full) // 2 + 1
            full += [one, number]
        elif not isinstance(one, int):
            raise UnknownType(f"{name} may contain only texts and numbers.")
    names, numbers = full[::2], [int(str(one)) for one in full[1::2]]
    limit = 1 << (7 if name == "Enum8" else 15)
    if len(set(names)) < len(names) or len(set(numbers)) < len(numbers):
        raise UnknownType(f"{name} has a name or a number twice. Each must be unique.")
    if not all(-limit <= number < limit for number in numbers):
        raise UnknownType(f"The numbers of {name} must be from {-limit} to {limit - 1}.")
    return ColumnType(name, tuple(full))


_BUILDERS = {
    "Nullable": _wrapper,
    "LowCardinality": _wrapper,
    "Array": _wrapper,
    "Map": _map,
    "Decimal": _decimal,
    **dict.fromkeys(_DECIMALS, _decimal),
    "FixedString": _fixed,
    "DateTime": _datetime,
    "DateTime64": _datetime64,
    "Enum8": _enum,
    "Enum16": _enum,
}
#: The names of all types, as in ``ColumnType.name``.
NAMES = _PLAIN.union(_BUILDERS, {"Tuple"}).difference(_DECIMALS)


def _refuse_nesting(found: ColumnType, text: str) -> None:
    if found.name == "Nullable" and found.inner.name in {
        "Array",
        "Map",
        "Tuple",
        "Nullable",
        "LowCardinality",
    }:
        raise UnknownType(f"{text!r}: Nullable can't be around {found.inner.name}.")
    if found.name == "LowCardinality" and found.bare.name not in {"String", "FixedString"}:
        raise UnknownType(f"{text!r}: LowCardinality works only with String and FixedString.")
    for one in found.args:
        if isinstance(one, ColumnType):
            _refuse_nesting(one, text)


def _shown(value: ColumnType | int | str) -> str:
    return string(value) if isinstance(value, str) else str(value)


def canonical(kind: ColumnType) -> ColumnType:
    """The type as ClickHouse writes it: the values of an Enum in the order of their numbers."""
    if kind.name in {"Enum8", "Enum16"}:
        pairs = sorted(
            zip(kind.args[::2], kind.args[1::2], strict=True), key=lambda one: int(str(one[1]))
        )
        return replace(kind, args=tuple(part for pair in pairs for part in pair))
    args = tuple(canonical(one) if isinstance(one, ColumnType) else one for one in kind.args)
    return replace(kind, args=args)
