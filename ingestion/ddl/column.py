"""SQL that reads the value of one column, checks it, and explains why it does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from ingestion.ddl import epochs, json_in_text, located, marked, nested, scalar, value_formats
from ingestion.ddl.defaults import literal
from ingestion.ddl.metadata import METADATA
from ingestion.ddl.spec import ColumnSpec
from ingestion.ddl.types import CONTAINERS, FLOATS, INTEGERS, ColumnType, parse
from ingestion.ddl.value import ColumnValue, Value, of_element
from tenants.warehouse.quoting import identifier, string

_OF_DIGITS = frozenset({*INTEGERS, *FLOATS, "Decimal", "DateTime", "DateTime64"})
#: How many characters of a value the quarantine shows; it keeps the message whole.
SHOWN = 1_000


@dataclass(frozen=True)
class ParsedColumn:
    """The column at ``index`` of a table, from message to value.

    The SELECT first computes ``read`` and names it ``given``, then it computes ``fits``, then
    ``value`` and ``problem``.
    """

    index: int
    spec: ColumnSpec
    #: Whether it types only the usual form of a value.
    is_quick: ClassVar[bool] = False

    @cached_property
    def kind(self) -> ColumnType:
        return parse(self.spec.type)

    @property
    def type(self) -> str:
        """The type in ClickHouse, which would store a Nested as a column for each of its names."""
        return str(self.kind) if "Nested" in self.spec.type else self.spec.type

    @property
    def is_container(self) -> bool:
        return self.kind.name in CONTAINERS

    @property
    def is_text(self) -> bool:
        """Whether it is read as JSON text, and not with all others at once.

        ClickHouse has no tuple with an element of the names that are left out.
        """
        is_impossible = not {"", "null"}.isdisjoint(self.spec.keys)
        is_apart = self.spec.is_in_array or bool(self.spec.metadata)
        return self.is_container or is_apart or is_impossible

    @property
    def given(self) -> str:
        """Name of the value that was read: Nullable(type), or JSON text if ``is_text``."""
        return f"_g{self.index}"

    @property
    def ok(self) -> str:
        """Name of the flag that is 1 if the message fits this column."""
        return f"_ok{self.index}"

    @property
    def element_format(self) -> str:
        """The format of the value, or of each element; empty if there is none."""
        return "" if self.is_in_text else self.spec.format

    @property
    def is_in_text(self) -> bool:
        """Whether the value is JSON in a text."""
        return self.spec.format == value_formats.JSON

    @property
    def message(self) -> str:
        """Name of the JSON text that it reads: the message, or the metadata of it."""
        return METADATA if self.spec.metadata else "raw"

    @property
    def _quoted(self) -> bool:
        """Whether a number may be in quotes. A header is a text, even if it holds a number."""
        return self.spec.quoted_numbers or bool(self.spec.metadata)

    @property
    def _raw(self) -> str:
        return located.text(self.message, self.spec.segments)

    @property
    def _unmarked(self) -> str:
        """The JSON text of the value."""
        if not self.is_in_text:
            return self._raw
        return json_in_text.read(self.message, self.spec.segments)

    @property
    def _has(self) -> str:
        return f"JSONHas({self.message}, {located.arguments(self.spec.segments)})"

    @property
    def _value(self) -> Value:
        if self.is_text:
            return of_element(self.given, self.is_marked, quoted=self._quoted)
        return self._scalar.value

    @property
    def opening(self) -> dict[str, str]:
        """Expressions that ``steps`` use, by name."""
        return {} if self.is_text else self._scalar.opening

    @property
    def steps(self) -> tuple[dict[str, str], ...]:
        """Expressions that ``read`` uses, by name; one mapping for each nested SELECT."""
        return () if self.is_text else self._scalar.steps

    @property
    def _found(self) -> str:
        found = "_d"
        for key in self.spec.keys:
            found = f"tupleElement({found}, {string(key)})"
        return found

    @cached_property
    def _scalar(self) -> ColumnValue:
        return ColumnValue(self._found, self.spec.keys, self.index, self.spec.quoted_numbers)

    @property
    def needs_digits(self) -> bool:
        """Whether the rule of its type looks at the digits of a number."""
        return not self.is_text and self.kind.bare.name in _OF_DIGITS

    @property
    def digits(self) -> str:
        """Name of the digits of a number, exactly as they were sent."""
        return self._value.digits

    @property
    def is_marked(self) -> str:
        """Name of the flag that is 1 if ``given`` is marked JSON."""
        return f"_m{self.index}"

    @property
    def must_mark(self) -> str:
        """Whether its value must be read from marked JSON; 0 or 1."""
        if self.is_in_text:
            return nested.must_mark(self.kind, json_in_text.text(self.message, self.spec.segments))
        return nested.must_mark(self.kind, self.message)

    @property
    def read(self) -> str:
        if not self.is_text:
            return scalar.typed(self.kind.bare, self._value, self.element_format)
        if self.is_in_text:
            again = json_in_text.read_again(self.message, self.spec.segments)
            return f"if({self.is_marked}, {again}, {self._unmarked})"
        # Marking can turn invalid JSON into valid JSON: so the message itself is checked.
        again = located.text(marked.marked(self.message), self.spec.segments, marked.MARK)
        is_valid = f"isValidJSON({self.message})"
        return f"if({self.is_marked}, if({is_valid}, {again}, ''), {self._raw})"

    @property
    def is_given(self) -> str:
        """Whether a value was read; 0 for a scalar that does not fit, too. If 1, it is JSON."""
        return f"({self.given} != '')" if self.is_text else f"isNotNull({self.given})"

    @property
    def _absent(self) -> str:
        """Whether the message has no value: the key is missing, or the value is null."""
        if self.is_text:
            return f"{self.given} IN ('', 'null')"
        return f"isNull({self._value.dynamic})"

    @property
    def fits(self) -> str:
        good = self._as_element(nested.fits) if self.is_text else f"isNotNull({self.given})"
        if not self.spec.required:
            return f"({good} OR {self._absent})"
        if self.kind.is_nullable:
            return f"({good} OR ({self._absent} AND {self._has}))"
        return good

    def _as_element(self, rule: Callable[..., str]) -> str:
        """A scalar is typed in a lambda, as the elements of an array are.

        Outside of it the engine's short circuits share parts of the rule between columns of the
        SELECT, and in a batch of mixed values some that fit were reported as misfits.
        """
        if self.is_container:
            return rule(self.kind, self.given, self._notation)
        inner = rule(self.kind, "x", self._notation)
        return f"arrayMap(x -> {inner}, [{self.given}])[1]"

    @property
    def _notation(self) -> nested.Notation:
        return nested.Notation(self.is_marked, self._quoted, self.element_format)

    @property
    def value(self) -> str:
        """The value in the column's type; if the message does not fit, any value of that type."""
        if self.is_text:
            found = self._as_element(nested.value)
        elif self.kind.is_nullable:
            found = self.given
        else:
            found = f"assumeNotNull({self.given})"
        if self.spec.default is None:
            return found
        if self.kind.is_nullable:
            return f"if({self._absent} AND NOT {self._has}, {self.default}, {found})"
        return f"if({self._absent}, {self.default}, {found})"

    @property
    def default(self) -> str:
        """The literal that replaces a missing value."""
        return literal(self.kind, self.spec.default or "null")

    @property
    def problem(self) -> str:
        """A tuple (reason, column, expected, value) of a message that does not fit this column."""
        if self.spec.is_of_each:
            return self._problem_of_each
        shown = f"substringUTF8({self._shown}, 1, {SHOWN})"
        return f"({self._reason}, {string(self.spec.name)}, {string(self.spec.expected)}, {shown})"

    @property
    def _shown(self) -> str:
        """The value as JSON; in a column of numbers, a number exactly as it was sent."""
        is_of_numbers = self.kind.bare.name in nested.NUMBERS or self.spec.format in epochs.UNITS
        is_number = not self.is_container and is_of_numbers
        return f"ifNull({self._value.digits}, {self._raw})" if is_number else self._raw

    @property
    def may_be_inexact(self) -> str:
        """Whether it is a double although its digits matter; empty if they don't matter."""
        is_exact = not self.is_text and self.kind.bare.name in nested.EXACT
        return f"isNotNull({self._value.float64})" if is_exact else ""

    @property
    def _reason(self) -> str:
        if self.is_container:
            opening = "[" if self.kind.name == "Array" else "{"
            is_broken = f"startsWith({self.given}, '{opening}')"
            if self.is_in_text:
                is_broken += f" OR {self.given} = '{json_in_text.BROKEN}'"
            found = f"if({is_broken}, 'invalid_value', 'wrong_type')"
        else:
            found = scalar.reason(self.kind.bare, self._value, self.element_format)
        return f"if({self._absent}, 'missing', {found})"

    @property
    def _problem_of_each(self) -> str:
        """The same where the path has ``[*]``: it says which element is at fault."""
        inner = nested.fits(self.kind.inner, "x", self._notation)
        sent = f"JSONExtractArrayRaw({self.given})"
        at_fault = f"arrayFirstIndex(x -> NOT {inner}, {sent})"
        segments = self.spec.segments
        found = located.of_element(segments, at_fault)
        reason = f"if({found} IN ('', 'null'), 'missing', 'invalid_value')"
        place = located.named(segments, at_fault, found)
        shown = f"if({self._absent}, '', substringUTF8({place}, 1, {SHOWN}))"
        why = f"if({self._absent}, 'missing', {reason})"
        return f"({why}, {string(self.spec.name)}, {string(self.spec.expected)}, {shown})"

    @property
    def target(self) -> str:
        return identifier(self.spec.name)
