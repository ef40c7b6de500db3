"""The registry of what other apps store for a tenant.

``tenants`` imports none of these apps; each registers its part in ``AppConfig.ready``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class Doomed:
    """A tenant that is being deleted. ``pk`` is 0 once its row is gone."""

    pk: int
    slug: str
    database: str
    username: str


class Store(Protocol):
    """A place that holds a tenant's data. All its methods are safe to repeat."""

    name: str

    def settle(self, doomed: Doomed) -> None:
        """Return once nothing writes the tenant's data here any more; raises StillBusy."""

    def count(self, doomed: Doomed) -> Mapping[str, int]:
        """How much data is left, by kind. A kind without data may be 0 or missing."""

    def remove(self, doomed: Doomed) -> list[str]:
        """Remove all of the data; returns sentences on what it had to leave and what to do."""


@dataclass(frozen=True, slots=True)
class PersonTable:
    """A ClickHouse table that may hold a person's rows.

    ``condition`` is SQL with ``{value:String}`` that selects them. It is empty if they can't be
    identified; then ``advice`` says what to do. ``kind`` is table, quarantine or rollup.
    """

    table: str
    kind: str
    condition: str
    advice: str = ""


#: Returns the text of one file of an export. It must not contain secrets.
Definition = Callable[[Tenant], str]
#: Returns the rows of one file of an export, which become one JSON object a line.
Rows = Callable[[Tenant], Iterable[Mapping[str, Any]]]
#: Returns where a person's rows may be, given the column that identifies the person, and one table
#: or '' for all tables.
Finder = Callable[[Tenant, str, str], list[PersonTable]]
#: Returns sentences for an erasure's report on what the erasure can't reach.
Remark = Callable[[Tenant], list[str]]
#: Returns the names of what reads any of these ClickHouse tables for a tenant's callers, such as
#: saved queries; with a word, only those that also mention it.
Reader = Callable[[Tenant, Collection[str], str], list[str]]

stores: list[Store] = []
#: By file name in an export.
definitions: dict[str, Definition] = {}
#: By file name in an export.
rows: dict[str, Rows] = {}
finders: list[Finder] = []
remarks: list[Remark] = []
readers: list[Reader] = []
#: Functions that say whether a table of this name is the app's own note, without a tenant's data.
notes: list[Callable[[str], bool]] = []
