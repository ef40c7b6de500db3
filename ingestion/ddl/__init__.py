"""ClickHouse DDL of a table: typed table, quarantine, inbox, and the views between them.

    <table>__inbox   Null; one insert is one batch of raw messages
        │  <table>__parse: reads each message once, types it where it has the usual form
    <table>__parsed  Null; typed values, and whether all are
        ├── <table>__fit   ──> <table>
        ├── <table>__rest  ──> <table>__leftovers   the offsets of the others
        └── <table>__filter ─> <table>__filtered    the origins of what filters leave out

Only tables whose sources have filters have the last two. Each version of a table has a pipeline of
its own (<table>__inbox_2 and so on).

A query types the leftovers: those that fit go to the table, the others to <table>__quarantine.

Pure functions from a TableSpec to statements; nothing here talks to ClickHouse.
"""

from ingestion.ddl.alter import Existing, alter, is_wider, read_existing, refusals
from ingestion.ddl.check import check
from ingestion.ddl.create import create, drop, drop_pipeline, pipeline
from ingestion.ddl.errors import CannotAlter, SpecError, SpecProblem
from ingestion.ddl.spec import (
    STATEMENT_SETTINGS,
    ColumnSpec,
    SourceFilter,
    TableSpec,
    at_version,
)

__all__ = [
    "STATEMENT_SETTINGS",
    "CannotAlter",
    "ColumnSpec",
    "Existing",
    "SourceFilter",
    "SpecError",
    "SpecProblem",
    "TableSpec",
    "alter",
    "at_version",
    "check",
    "create",
    "drop",
    "drop_pipeline",
    "is_wider",
    "pipeline",
    "read_existing",
    "refusals",
]
