"""A type that a field may have, with the format and option that its values need."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class TypeCandidate:
    """``type``: that of a value which is not null."""

    type: str
    format: str = ""
    quoted_numbers: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether it needs nothing but the type, so that it can be an element of a tuple."""
        return not self.format and not self.quoted_numbers

    @property
    def is_container(self) -> bool:
        return self.type.startswith(("Array(", "Map(", "Tuple("))

    def nullable(self) -> TypeCandidate:
        """The same with null among its values; a container can't have it."""
        if self.type.startswith("LowCardinality("):
            return replace(self, type="LowCardinality(Nullable(String))")
        return replace(self, type=f"Nullable({self.type})")

    def within(self, wrapper: str) -> TypeCandidate:
        """A container of such values, as in ``Array(%s)``."""
        return replace(self, type=wrapper % self.type)
