"""The SELECT that types messages of the usual form, and flags all others.

It is a sixth as long as that of ``parse_view``, which takes the engine longer to analyse than to
type 50,000 messages. So only messages that do not have the usual form need the long SELECT.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

from ingestion.ddl import computed, marked, parse_view, quick, source_filters
from ingestion.ddl.column import ParsedColumn
from ingestion.ddl.spec import TableSpec
from ingestion.ddl.value import INEXACT, NEVER, Value

#: Whether a message has the usual form, so that all its values are typed; 0 or 1.
QUICK = "_quick"


class QuickColumn(ParsedColumn):
    """A column that is typed only if its value has the usual form."""

    is_quick: ClassVar[bool] = True

    @cached_property
    def _quick_value(self) -> Value:
        return quick.of_dynamic(self.kind.bare, self._found, self.element_format)

    @property
    def _value(self) -> Value:
        return super()._value if self.is_text else self._quick_value

    @property
    def opening(self) -> dict[str, str]:
        return {}

    @property
    def steps(self) -> tuple[dict[str, str], ...]:
        return ()

    @property
    def needs_digits(self) -> bool:
        return False

    @property
    def is_marked(self) -> str:
        return NEVER

    @property
    def read(self) -> str:
        if self.is_text:
            return self._unmarked
        return quick.typed(
            self.kind.bare,
            self._value,
            quoted=self.spec.quoted_numbers,
            form=self.element_format,
        )

    @property
    def fits(self) -> str:
        if not self.is_text:
            return super().fits
        return f"(NOT {self.must_mark} AND {super().fits})"

    @property
    def may_be_inexact(self) -> str:
        is_decimal = not self.is_text and self.kind.bare.name == "Decimal"
        return f"isNotNull({self._value.float64})" if is_decimal else ""


def columns(spec: TableSpec) -> list[QuickColumn]:
    return [QuickColumn(index, one) for index, one in enumerate(spec.columns)]


def select(spec: TableSpec, source: str) -> str:
    """Selects ``ORIGIN``, ``_v<index>`` for each column, and ``QUICK``.

    With filters it also selects ``source_filters.FILTERED``, which is meaningless unless ``QUICK``
    is 1.
    """
    parsed = [one for one in columns(spec) if not one.spec.expression]
    passed = ", ".join(parse_view.ORIGIN)
    texts = ", ".join(dict.fromkeys(["raw", *(one.message for one in parsed)]))
    opened = (
        f"SELECT {passed}, {texts}, JSONExtract(raw, {parse_view.shape(parsed)}) AS _d "
        f"FROM {source}"
    )
    if inexact := _inexact(parsed):
        opened = f"SELECT *, {inexact} AS {INEXACT} FROM ({opened})"
    given = "".join(f", {one.read} AS {one.given}" for one in parsed)
    read = f"SELECT *{given} FROM ({opened})"
    values = "".join(f", {one.value} AS _v{one.index}" for one in parsed)
    fits = " AND ".join([parse_view.is_object(parsed), *(one.fits for one in parsed)])
    typed = f"SELECT {passed}{values}, {fits} AS {QUICK} FROM ({read})"
    if len(parsed) < len(spec.columns) or spec.filters:
        outputs = ", ".join(computed.outputs(spec.columns))
        filtered = f", {_left_out(spec)} AS {source_filters.FILTERED}" if spec.filters else ""
        return f"SELECT {passed}, {outputs}, {QUICK}{filtered} FROM ({typed})"
    return typed


def _left_out(spec: TableSpec) -> str:
    return source_filters.left_out(spec.columns, spec.filters)


def _inexact(parsed: Sequence[QuickColumn]) -> str:
    doubles = " OR ".join(filter(None, (one.may_be_inexact for one in parsed)))
    return marked.may_be_inexact(f"if({doubles}, raw, '')") if doubles else ""
