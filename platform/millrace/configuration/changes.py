"""The changes that ``apply`` makes and shows, one per object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Fields whose values are never shown.
SECRET = frozenset({"password", "client_key"})


@dataclass(frozen=True)
class Change:
    """A new or changed object. ``fields`` maps names of fields to (old, new) values.

    ``row`` is the object itself, for the audit log.
    """

    kind: str
    name: str
    is_new: bool
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    row: Any = field(default=None, compare=False, repr=False)

    def lines(self) -> Iterable[str]:
        """The lines to print: ``+`` marks a new object, ``~`` a changed one."""
        yield f"{'+' if self.is_new else '~'} {self.kind} {self.name}"
        for name, (old, new) in self.fields.items():
            if name in SECRET:
                yield f"    {name}: {'set' if self.is_new else 'changed'}"
            elif self.is_new:
                yield f"    {name}: {shown(new)}"
            else:
                yield f"    {name}: {shown(old)} → {shown(new)}"


def shown(value: Any) -> str:
    """A value as one line of at most 200 characters."""
    text = "none" if value is None else " ".join(str(value).split())
    return text if len(text) <= 200 else f"{text[:199]}…"


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The fields of ``new`` that differ from ``old``, as (old, new)."""
    return {name: (old.get(name), value) for name, value in new.items() if old.get(name) != value}
