"""SQL of one column within the view that parses: is it there, does it fit, what is it, why not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from ingestion.ddl import nested, scalar
from ingestion.ddl.defaults import literal
from ingestion.ddl.names import quoted, text
from ingestion.ddl.scalar import Value
from ingestion.ddl.spec import ColumnSpec
from ingestion.ddl.types import ColumnType, parse

#: Characters of a value that the quarantine names; the message is kept whole.
SHOWN = 1_000


@dataclass(frozen=True)
class ParsedColumn:
    """The ``index``-th column of a table, from message to value.

    ``read`` is computed first, then ``fits`` over ``given``, then ``value`` and ``problem``.
    """

    index: int
    spec: ColumnSpec

    @cached_property
    def kind(self) -> ColumnType:
        return parse(self.spec.type)

    @property
    def is_container(self) -> bool:
        return self.kind.name in nested.CONTAINERS

    @property
    def given(self) -> str:
        """Name of what was read: Nullable of the type, or the JSON text of a container."""
        return f"_g{self.index}"

    @property
    def ok(self) -> str:
        """Name of the flag that says that the message fits this column."""
        return f"_ok{self.index}"

    @property
    def _path(self) -> str:
        return ", ".join(text(key) for key in self.spec.keys)

    @property
    def _raw(self) -> str:
        return f"JSONExtractRaw(raw, {self._path})"

    @property
    def _has(self) -> str:
        return f"JSONHas(raw, {self._path})"

    @cached_property
    def _value(self) -> Value:
        dynamic = "_d"
        for key in self.spec.keys:
            dynamic = f"tupleElement({dynamic}, {text(key)})"
        key = re.escape(self.spec.keys[-1]).replace("\\", "\\\\").replace("'", "\\'")
        token = rf"extract(raw, '\"{key}\"\\s*:\\s*(-?[0-9][0-9.eE+-]*)')"
        return Value(
            dynamic=dynamic,
            string=f"JSONExtractString(raw, {self._path})",
            token=token,
            quoted=self.spec.quoted_numbers,
        )

    @property
    def read(self) -> str:
        return self._raw if self.is_container else scalar.typed(self.kind.bare, self._value)

    @property
    def _absent(self) -> str:
        """Without a value: no such key, or null."""
        if self.is_container:
            return f"{self.given} IN ('', 'null')"
        return f"isNull({self._value.dynamic})"

    @property
    def fits(self) -> str:
        if self.is_container:
            good = nested.fits(self.kind, self.given, quoted=self.spec.quoted_numbers)
        else:
            good = f"isNotNull({self.given})"
        if not self.spec.required:
            return f"({good} OR {self._absent})"
        if self.kind.is_nullable:
            return f"({good} OR ({self._absent} AND {self._has}))"
        return good

    @property
    def value(self) -> str:
        """The value as the column's type; any value of it where the message does not fit."""
        if self.is_container:
            found = nested.value(self.kind, self.given, quoted=self.spec.quoted_numbers)
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
        """What stands where a message has no value."""
        return literal(self.kind, self.spec.default or "null")

    @property
    def problem(self) -> str:
        """(reason, column, expected, value) of a message that does not fit this column."""
        shown = f"substringUTF8({self._raw}, 1, {SHOWN})"
        return f"({self._reason}, {text(self.spec.name)}, {text(self.spec.type)}, {shown})"

    @property
    def _reason(self) -> str:
        if self.is_container:
            opening = "[" if self.kind.name == "Array" else "{"
            found = f"if(startsWith({self.given}, '{opening}'), 'invalid_value', 'wrong_type')"
        else:
            found = scalar.reason(self.kind.bare, self._value)
        return f"if({self._absent}, 'missing', {found})"

    @property
    def target(self) -> str:
        return quoted(self.spec.name)
