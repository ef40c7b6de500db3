"""What the apps beside ``tenants`` keep of a tenant, told here when they are loaded.

``tenants`` imports none of them; each registers its part in ``AppConfig.ready``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class Doomed:
    """A tenant that is being deleted, as known also after its row is gone (``pk`` is 0 then)."""

    pk: int
    slug: str
    database: str
    username: str


class Store(Protocol):
    """One place that holds something of a tenant's. All of it is safe to repeat."""

    name: str

    def settle(self, doomed: Doomed) -> None:
        """Return once nothing of the tenant's is written here any more; raises StillBusy."""

    def count(self, doomed: Doomed) -> Mapping[str, int]:
        """How much there is, by what it is; what is gone is left out, or 0."""

    def remove(self, doomed: Doomed) -> list[str]:
        """Remove all of it; returns what had to be left, and what to do about it."""


@dataclass(frozen=True, slots=True)
class PersonTable:
    """A ClickHouse table that may hold a person's rows.

    ``condition`` is SQL over ``{value:String}`` that is true for them; where it is empty they
    can't be told apart, and ``advice`` says what to do. ``kind``: table, quarantine or rollup.
    """

    table: str
    kind: str
    condition: str
    advice: str = ""


#: By file name in an export: the text that goes into it. No secret may stand in it.
Definition = Callable[[Tenant], str]
#: By file name in an export: the rows that go into it, one JSON object a line.
Rows = Callable[[Tenant], Iterable[Mapping[str, Any]]]
#: Where a person's rows may be, given the column that tells whose they are, and one table or ''.
Finder = Callable[[Tenant, str, str], list[PersonTable]]
#: What an erasure can't reach, as sentences for its report.
Remark = Callable[[Tenant], list[str]]
#: Names of what answers a tenant's callers from any of these ClickHouse tables; given a word,
#: only of what says it, too.
Reader = Callable[[Tenant, Collection[str], str], list[str]]

stores: list[Store] = []
definitions: dict[str, Definition] = {}
rows: dict[str, Rows] = {}
finders: list[Finder] = []
remarks: list[Remark] = []
readers: list[Reader] = []
#: Whether a table of that name is a note of the app's own that holds nothing of a tenant's.
notes: list[Callable[[str], bool]] = []
