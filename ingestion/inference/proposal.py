"""Proposes a table: the columns that take every object of a sample, and the keys.

What values look like is a guess. So the sample is typed as the table would type it, and a column
that a message does not fit gets its next type, until all objects fit. A field that no type takes is
left out: messages land without it, and the table counts it as an unknown field.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ingestion import ddl, rehearsal
from ingestion.ddl.paths import jsonpath, shown, unreadable
from ingestion.ddl.spec import ColumnSpec, TableSpec
from ingestion.inference import table_keys
from ingestion.inference.column_names import named
from ingestion.inference.errors import NothingToInfer
from ingestion.inference.evidence import Evidence, evidence
from ingestion.inference.sample import Sample
from ingestion.inference.sampled_fields import Field, fields
from ingestion.inference.text_formats import ambiguity
from ingestion.inference.type_candidate import TypeCandidate
from ingestion.inference.type_choice import candidates
from ingestion.inference.typing_trial import misfits

#: The most columns that are proposed; the fields that most messages have come first.
COLUMNS = 200
#: The most characters of a path and of a type that a column stores.
_PATH, _TYPE = 500, 2_000


@dataclass(frozen=True, slots=True)
class ProposedColumn:
    """``note``: what a person should look at; often empty."""

    spec: ColumnSpec
    evidence: Evidence
    note: str = ""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A field without a column, and why."""

    path: str
    why: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Proposal:
    """``messages`` were read and ``objects`` of them fit; ``others``: the rest, by reason."""

    columns: tuple[ProposedColumn, ...]
    left_out: tuple[LeftOut, ...]
    sorting_key: tuple[str, ...]
    partition_key: str
    messages: int
    objects: int
    others: Mapping[str, int] = field(default_factory=dict)

    def spec(self, name: str) -> TableSpec:
        """The table, in no database yet."""
        columns = tuple(column.spec for column in self.columns)
        return TableSpec("", name, columns, self.sorting_key, self.partition_key)


def propose(sample: Sample) -> Proposal:
    """Propose a table; raises NothingToInfer and WarehouseError.

    Reading the sample may raise FileUnreadable.
    """
    objects = sample.objects()
    drafts, left_out = _drafted(list(fields(objects)), len(objects), sample)
    if not drafts:
        raise NothingToInfer(_nothing(len(sample.messages(())), len(objects)))
    messages, others = _widened(sample, drafts, left_out)
    if not drafts:
        raise NothingToInfer(_nothing(len(messages), len(objects)))
    described = [(draft.column, evidence(draft.field)) for draft in drafts]
    proposal = Proposal(
        columns=tuple(
            ProposedColumn(draft.column, shown_by, draft.note)
            for draft, (_, shown_by) in zip(drafts, described, strict=True)
        ),
        left_out=tuple(left_out),
        sorting_key=table_keys.sorting_key(described),
        partition_key=table_keys.partition_key([column for column, _ in described]),
        messages=len(messages),
        objects=len(messages) - sum(others.values()),
        others=others,
    )
    _check(proposal)
    return proposal


def _check(proposal: Proposal) -> None:
    """Let ClickHouse create the table once; raises SpecError if it refuses."""
    spec = proposal.spec("sample")
    ddl.check(spec)
    with rehearsal.stage() as database:
        rehearsal.rehearse(spec, None, database)


# --- Columns ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Draft:
    """A column, and the types that it may have; the first is its present one."""

    field: Field
    name: str
    required: bool
    types: list[TypeCandidate]
    note: str

    @property
    def column(self) -> ColumnSpec:
        candidate, default = self.types[0], None
        if not self.required:
            if candidate.is_container:
                default = "[]" if candidate.type.startswith("Array") else "{}"
            else:
                candidate = candidate.nullable()
        path = _path(self.field.keys)
        return ColumnSpec(
            name=self.name,
            type=candidate.type,
            path="" if path == self.name else path,
            required=self.required,
            default=default,
            quoted_numbers=candidate.quoted_numbers,
            format=candidate.format,
        )


def _drafted(
    found: Sequence[Field], objects: int, sample: Sample
) -> tuple[list[_Draft], list[LeftOut]]:
    left_out = []
    able: list[tuple[Field, list[TypeCandidate]]] = []
    for one in found:
        types = _types(one, objects, sample)
        if why := _why_not(one, types):
            left_out.append(_left(one, why))
        else:
            able.append((one, types))
    most = sorted(able, key=lambda pair: -pair[0].present)[:COLUMNS]
    kept = {one.keys for one, _ in most}
    beyond = f"A proposal has {COLUMNS} columns at most, of the fields that most messages have."
    left_out += [_left(one, beyond) for one, _ in able if one.keys not in kept]
    able = [pair for pair in able if pair[0].keys in kept]
    names = named([one.keys for one, _ in able])
    return [
        _Draft(one, name, len(one.values) == objects, types, _note(one, types))
        for name, (one, types) in zip(names, able, strict=True)
    ], left_out


def _types(one: Field, objects: int, sample: Sample) -> list[TypeCandidate]:
    if not one.values:
        return []
    types = candidates(one.keys[-1], one.values, unquoted=sample.is_of_texts)
    if len(one.values) < objects:
        # A tuple has no null, and no default that would be true.
        types = [candidate for candidate in types if not candidate.type.startswith("Tuple(")]
    return [candidate for candidate in types if len(candidate.type) <= _TYPE]


def _why_not(one: Field, types: Sequence[TypeCandidate]) -> str:
    """Why the field can't have a column; empty if it can."""
    path = _path(one.keys)
    if unreadable(path) or ColumnSpec("", "", path).segments != one.keys or len(path) > _PATH:
        return "No path can name this key."
    if not one.values:
        return "It is null in every message of the sample."
    if len(one.kinds) > 1 and not types:
        return f"Its values are of several kinds: {', '.join(one.kinds)}."
    return "" if types else "No type takes all of its values."


def _path(keys: Sequence[str]) -> str:
    """The path of a column; an empty key has no place between dots."""
    return shown(keys) if all(keys) else jsonpath(keys)


def _left(one: Field, why: str) -> LeftOut:
    return LeftOut(_path(one.keys), why, evidence(one))


def _note(one: Field, types: Sequence[TypeCandidate]) -> str:
    if types[0].type.endswith("String)") or types[0].type == "String":
        return ambiguity(one.values) if one.kinds == ["text"] else ""
    return ""


# --- Typing the sample --------------------------------------------------------------------------


def _widened(
    sample: Sample, drafts: list[_Draft], left_out: list[LeftOut]
) -> tuple[Sequence[bytes], Mapping[str, int]]:
    """Give columns other types until all objects fit; returns the messages and the other reasons.

    Each round takes a type from at least one column, so it ends.
    """
    while True:
        columns = tuple(draft.column for draft in drafts)
        messages = sample.messages(columns)
        unfit = misfits(messages, columns) if columns else []
        reasons = {misfit.column: misfit.reason for misfit in unfit if misfit.column}
        if not reasons:
            return messages, Counter(misfit.reason for misfit in unfit)
        for draft in _named(drafts, reasons):
            draft.types.pop(0)
            if not draft.types:
                drafts.remove(draft)
                why = f"No type takes all of its values ({reasons[draft.name]})."
                left_out.append(_left(draft.field, why))


def _named(drafts: Sequence[_Draft], reasons: Mapping[str, str]) -> Iterator[_Draft]:
    named_drafts = [draft for draft in drafts if draft.name in reasons]
    if not named_drafts:
        msg = f"The typing names columns that were not proposed: {', '.join(reasons)}."
        raise LookupError(msg)
    yield from named_drafts


def _nothing(messages: int, objects: int) -> str:
    if not messages:
        return "The sample is empty: there is no message to propose a table from."
    if not objects:
        return f"None of the {messages} messages is a JSON object, and a table takes only those."
    return f"The {objects} objects have no field with a value that a column could have."
