"""Statements that create and drop a table, its quarantine and its pipeline.

An insert into an inbox whose view is missing would vanish. So the inbox is dropped first: an insert
without it fails and is repeated later. It is created with a gate, a column whose default raises,
which is opened once everything behind it exists.

The *pipeline*, from the inbox to the tables, is created anew for each version of the table, under
its own names. So a batch that was announced for one version can't be typed by another.
"""

from __future__ import annotations

from collections.abc import Sequence

from ingestion.ddl import metadata, names, parse_view, quick_view, source_filters
from ingestion.ddl.column import ParsedColumn
from ingestion.ddl.parse_view import ORIGIN
from ingestion.ddl.spec import DEDUPLICATION_WINDOW, TableSpec
from tenants.warehouse.quoting import identifier, string

#: Types of the columns of a row's origin. ``_offset`` is signed, as in Kafka.
ORIGIN_TYPES = {
    "_source": "UInt64",
    "_partition": "UInt32",
    "_offset": "Int64",
    "_timestamp": "DateTime64(3, 'UTC')",
    "_message_id": "String",
    "_batch": "UUID",
}
_GATE = "_gate"
#: Longer than any token is trusted, so that a repeated insert still finds its leftovers.
LEFTOVER_DAYS = 2
_CODECS = {"_source": "T64, ZSTD", "_partition": "T64, ZSTD", "_offset": "Delta, ZSTD"}
PROBLEM_TYPES = {
    "reason": "LowCardinality(String)",
    "column": "LowCardinality(String)",
    "expected": "LowCardinality(String)",
    "value": "String",
}


#: The columns of the quarantine that keep what was sent.
_KEPT = {
    "_key": "String",
    "raw": "String CODEC(ZSTD)",
    metadata.METADATA: "String CODEC(ZSTD)",
}


def create(spec: TableSpec) -> list[str]:
    """Create everything. Safe to repeat after a failure, as long as the spec is the same."""
    return [*kept_tables(spec), *pipeline(spec)]


def kept_tables(spec: TableSpec) -> list[str]:
    """Create what all versions share: the table, its quarantine, the notes of leftovers.

    And, if any version had filters, the table of what they leave out.

    Leftovers outlive a change, because they belong to batches that are under way meanwhile.
    """
    tables = [_typed_table(spec), _quarantine(spec), _leftovers(spec)]
    return [*tables, _filtered(spec)] if spec.keeps_filtered else tables


def drop(spec: TableSpec) -> list[str]:
    """Drop the table with its rows, its quarantine and this version's views. Safe to repeat.

    ``drop_pipeline`` drops the pipeline of each other version.
    """
    beside = (names.leftovers, names.filtered, names.quarantine)
    kept = [*(named(spec.name) for named in beside), spec.name]
    return [*drop_pipeline(spec), *(_drop(spec, name, "TABLE") for name in kept)]


def pipeline(spec: TableSpec) -> list[str]:
    """Create the version's inbox and the views behind it. They hold no rows. Safe to repeat."""
    parse, fit, rest = names.views(spec.name, spec.version)
    parsed_name = names.parsed(spec.name, spec.version)
    inbox_name = names.inbox(spec.name, spec.version)
    parsed = at(spec, parsed_name)
    columns = quick_view.columns(spec)
    select = quick_view.select(spec, at(spec, inbox_name))
    return [
        _parsed_table(spec, columns),
        _view(spec, fit, spec.name, _fit_select(spec, parsed, columns)),
        _view(spec, rest, names.leftovers(spec.name), _rest_select(parsed)),
        *_filter_view(spec, parsed),
        _inbox(spec),
        _view(spec, parse, parsed_name, select),
        f"ALTER TABLE {at(spec, inbox_name)}{on(spec)} DROP COLUMN IF EXISTS {_GATE}",
    ]


def drop_pipeline(spec: TableSpec) -> list[str]:
    """Drop the version's pipeline, the inbox first: an insert without it fails, and is repeated.

    SYNC waits for inserts that are under way, so no insert arrives after it.
    """
    views = (*names.views(spec.name, spec.version), names.filter_view(spec.name, spec.version))
    former = names.former_views(spec.name) if spec.version <= 1 else ()
    return [
        _drop(spec, names.inbox(spec.name, spec.version), "TABLE"),
        *(_drop(spec, view, "VIEW") for view in (*views, *former)),
        _drop(spec, names.parsed(spec.name, spec.version), "TABLE"),
    ]


def at(spec: TableSpec, name: str) -> str:
    """A name with its database, quoted."""
    return f"{identifier(spec.database)}.{identifier(name)}"


def on(spec: TableSpec) -> str:
    """`` ON CLUSTER …``, or nothing."""
    return f" ON CLUSTER {identifier(spec.cluster)}" if spec.cluster else ""


def column(one: ParsedColumn) -> str:
    """A column of the typed table. Rows that are older than the column have its default."""
    default = f" DEFAULT {one.default}" if one.spec.default is not None else ""
    return f"{one.target} {one.type}{default}"


def sorting_key(spec: TableSpec) -> tuple[str, ...]:
    """The key of the description, otherwise the order in which rows arrive."""
    return spec.sorting_key or ("_timestamp",)


def ttl(spec: TableSpec) -> str:
    """When rows are deleted: as the description says, but no later than the retention."""
    described = spec.ttl.strip()
    if not spec.retention_days:
        return described
    kept = f"toDateTime(_ingested_at) + INTERVAL {spec.retention_days} DAY"
    # ClickHouse accepts a second expression that deletes only if it has a condition.
    return f"{described}, {kept} DELETE WHERE 1" if described else kept


def _engine(spec: TableSpec) -> str:
    if spec.cluster:
        return "ReplicatedMergeTree"
    return "MergeTree"


def _settings(spec: TableSpec) -> str:
    window = "replicated" if spec.cluster else "non_replicated"
    return f"SETTINGS {window}_deduplication_window = {DEDUPLICATION_WINDOW}"


def _origin(*, codecs: bool) -> list[str]:
    return [
        f"{name} {kind} CODEC({_CODECS[name]})" if codecs and name in _CODECS else f"{name} {kind}"
        for name, kind in ORIGIN_TYPES.items()
    ]


_LOOKUPS = [
    "_ingested_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')",
    # Looked for after a crash, and when a queue delivers a message again.
    "INDEX _batch_index _batch TYPE bloom_filter GRANULARITY 4",
    "INDEX _message_id_index _message_id TYPE bloom_filter GRANULARITY 4",
    "INDEX _ingested_at_index _ingested_at TYPE minmax GRANULARITY 4",
]


def _typed_table(spec: TableSpec) -> str:
    parts = [column(one) for one in parse_view.columns(spec)] + _origin(codecs=True) + _LOOKUPS
    partition = f" PARTITION BY {spec.partition_key}" if spec.partition_key else ""
    lifetime = f" TTL {ttl(spec)}" if ttl(spec) else ""
    return (
        f"CREATE TABLE IF NOT EXISTS {at(spec, spec.name)}{on(spec)} ({', '.join(parts)}) "
        f"ENGINE = {_engine(spec)}{partition} ORDER BY ({', '.join(sorting_key(spec))})"
        f"{lifetime} {_settings(spec)}"
    )


def _quarantine(spec: TableSpec) -> str:
    parts = _origin(codecs=True)
    parts += [f"{name} {_KEPT[name]}" for name in metadata.carried(spec.columns)]
    parts += [f"{identifier(name)} {kind}" for name, kind in PROBLEM_TYPES.items()]
    parts += _LOOKUPS
    return (
        f"CREATE TABLE IF NOT EXISTS {at(spec, names.quarantine(spec.name))}{on(spec)} "
        f"({', '.join(parts)}) ENGINE = {_engine(spec)} PARTITION BY toDate(_ingested_at) "
        f"ORDER BY (_ingested_at, _source, _partition, _offset) {quarantine_ttl(spec)} "
        f"{_settings(spec)}"
    )


def _filtered(spec: TableSpec) -> str:
    """Stays as long as the quarantine: the ledger is compared with both."""
    parts = _origin(codecs=True) + _LOOKUPS
    return (
        f"CREATE TABLE IF NOT EXISTS {at(spec, names.filtered(spec.name))}{on(spec)} "
        f"({', '.join(parts)}) ENGINE = {_engine(spec)} PARTITION BY toDate(_ingested_at) "
        f"ORDER BY (_ingested_at, _source, _partition, _offset) {quarantine_ttl(spec)} "
        f"{_settings(spec)}"
    )


def quarantine_columns(spec: TableSpec) -> list[str]:
    """Clauses that add to an older quarantine what this version keeps there."""
    if not metadata.wanted(spec.columns):
        return []
    name = metadata.METADATA
    return [f"ADD COLUMN IF NOT EXISTS {name} {_KEPT[name]}"]


def quarantine_ttl(spec: TableSpec) -> str:
    """The TTL clause of the quarantine."""
    days = min(spec.quarantine_days, spec.retention_days or spec.quarantine_days)
    return f"TTL toDateTime(_ingested_at) + INTERVAL {days} DAY"


def _parsed_table(spec: TableSpec, columns: Sequence[ParsedColumn]) -> str:
    parts = _origin(codecs=False)
    parts += [f"_v{one.index} {one.type}" for one in columns]
    parts.append(f"{quick_view.QUICK} UInt8")
    if spec.filters:
        parts.append(f"{source_filters.FILTERED} UInt8")
    return (
        f"CREATE TABLE IF NOT EXISTS {at(spec, names.parsed(spec.name, spec.version))}{on(spec)} "
        f"({', '.join(parts)}) ENGINE = Null"
    )


def _leftovers(spec: TableSpec) -> str:
    """On a cluster each replica has its own table, so Millrace asks all of them."""
    return (
        f"CREATE TABLE IF NOT EXISTS {at(spec, names.leftovers(spec.name))}{on(spec)} "
        "(_batch UUID, _offset Int64, _noted_at DateTime DEFAULT now()) ENGINE = MergeTree "
        f"ORDER BY (_batch, _offset) TTL _noted_at + INTERVAL {LEFTOVER_DAYS} DAY "
        "SETTINGS ttl_only_drop_parts = 1"
    )


def _inbox(spec: TableSpec) -> str:
    closed = string(f"The table {spec.name} is being made or altered: try again.")
    carried = metadata.carried(spec.columns).items()
    parts = [*_origin(codecs=False), *(f"{name} {kind}" for name, kind in carried)]
    parts.append(f"{_GATE} UInt8 DEFAULT throwIf(1, {closed})")
    return (
        f"CREATE TABLE IF NOT EXISTS {at(spec, names.inbox(spec.name, spec.version))}{on(spec)} "
        f"({', '.join(parts)}) ENGINE = Null"
    )


def _view(spec: TableSpec, name: str, target: str, select: str) -> str:
    return (
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {at(spec, name)}{on(spec)} "
        f"TO {at(spec, target)} AS {select}"
    )


def _fit_select(spec: TableSpec, parsed: str, columns: Sequence[ParsedColumn]) -> str:
    values = "".join(f", _v{one.index} AS {one.target}" for one in columns)
    kept = f" AND NOT {source_filters.FILTERED}" if spec.filters else ""
    return f"SELECT {', '.join(ORIGIN)}{values} FROM {parsed} WHERE {quick_view.QUICK}{kept}"


def _filter_view(spec: TableSpec, parsed: str) -> list[str]:
    if not spec.filters:
        return []
    name, target = names.filter_view(spec.name, spec.version), names.filtered(spec.name)
    left_out = f"{quick_view.QUICK} AND {source_filters.FILTERED}"
    select = f"SELECT {', '.join(ORIGIN)} FROM {parsed} WHERE {left_out}"
    return [_view(spec, name, target, select)]


def _rest_select(parsed: str) -> str:
    return f"SELECT _batch, _offset FROM {parsed} WHERE NOT {quick_view.QUICK}"


def _drop(spec: TableSpec, name: str, kind: str) -> str:
    return f"DROP {kind} IF EXISTS {at(spec, name)}{on(spec)} SYNC"
