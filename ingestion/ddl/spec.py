"""The description of a table, from which statements are written, and the settings of inserts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ingestion.ddl import paths

#: Blocks whose tokens a table remembers (``non_replicated_deduplication_window``; 0 in ClickHouse
#: by default, which is off). Every target of a view needs a window of its own.
DEDUPLICATION_WINDOW = 10_000

#: The form of a pipeline's views. A change of what they say gets the next number here; tables then
#: get a new version, and with it a pipeline of the new form, from the reconciler.
PIPELINE_FORM = 2

#: Settings of every statement in which the typing SELECT is analysed: a query, an insert into an
#: inbox, the creation of its views. Two passes of the analyzer hash each part of an AND or OR, and
#: the hash of a column is that of the whole SELECT that it comes from. With them, the analysis of
#: 200 columns took 2 s instead of 0.3 s, and that of 400 columns four times as long. They can't
#: find anything here. With many columns the statement exceeds ClickHouse's default size.
STATEMENT_SETTINGS: dict[str, int] = {
    "optimize_and_compare_chain": 0,
    "optimize_or_like_chain": 0,
    "max_query_size": 64 << 20,
    "max_ast_elements": 5_000_000,
    "max_expanded_ast_elements": 5_000_000,
}

#: Settings of every insert into an inbox: one insert is one block and arrives through all views
#: once. (clickhouse.com/docs/guides/developer/deduplicating-inserts-on-retries)
INSERT_SETTINGS: dict[str, int] = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "max_insert_block_size": 100_000_000,
    "min_insert_block_size_rows": 100_000_000,
    "min_insert_block_size_bytes": 4 * 1024**3,
    "max_insert_threads": 1,
    "max_partitions_per_insert_block": 0,
    # A text that looks like a date is a text until a column asks for a date; and it is faster.
    "input_format_try_infer_dates": 0,
    "input_format_try_infer_datetimes": 0,
    **STATEMENT_SETTINGS,
}


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """``path``: as in ``paths``, empty for the name; ``default``: JSON text, or None.

    ``format``: how the value is written, as in ``value_formats``; empty if its type says that.
    ``metadata``: what it reads instead of the message, as in ``metadata``. ``expression``: what it
    is computed by from other columns, as in ``expression``. Both are empty for most columns.
    """

    name: str
    type: str
    path: str = ""
    required: bool = True
    default: str | None = None
    quoted_numbers: bool = False
    format: str = ""
    metadata: str = ""
    expression: str = ""

    @property
    def expected(self) -> str:
        """What the quarantine says that a misfit should have been."""
        return f"{self.type} in the format {self.format}" if self.format else self.type

    @property
    def segments(self) -> paths.Segments:
        """The keys, and places in arrays, that lead to the value in the message.

        Of metadata, it is the key that leads to the value in the JSON of the metadata.
        """
        if self.metadata:
            return (self.metadata,)
        return paths.segments(self.path or self.name)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that lead to the value; those of a path into an array are not all of it."""
        return tuple(one for one in self.segments if isinstance(one, str))

    @property
    def is_in_array(self) -> bool:
        """Whether the path leads into an array."""
        return len(self.keys) < len(self.segments)

    @property
    def is_of_each(self) -> bool:
        """Whether the path reads a value of every element of an array."""
        return paths.EACH in self.segments


@dataclass(frozen=True, slots=True)
class SourceFilter:
    """The filter of one source that feeds the table, as in ``filters``.

    ``source``: its key, which each message carries as ``_source``; ``name``: for messages alone.
    """

    source: int
    expression: str
    name: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class TableSpec:
    """``database`` is the tenant's; ``cluster`` is empty for a single server.

    ``retention_days`` bounds the table's ``ttl`` and the quarantine's days; 0: nothing does.
    ``version`` is that of the pipeline. ``filters``: those of the table's sources.
    ``has_filtered``: a version had filters before, so the table of what they left out exists.
    """

    database: str
    name: str
    columns: tuple[ColumnSpec, ...]
    sorting_key: tuple[str, ...] = ()
    partition_key: str = ""
    ttl: str = ""
    quarantine_days: int = 30
    cluster: str = ""
    retention_days: int = 0
    version: int = 1
    filters: tuple[SourceFilter, ...] = ()
    has_filtered: bool = False

    @property
    def keeps_filtered(self) -> bool:
        """Whether the table has, or gets, one beside it for what filters leave out."""
        return self.has_filtered or bool(self.filters)


def at_version(
    spec: TableSpec,
    number: int,
    columns: tuple[ColumnSpec, ...],
    filters: tuple[SourceFilter, ...] = (),
) -> TableSpec:
    """The same table as one of its versions has it."""
    return replace(spec, version=number, columns=columns, filters=filters)
