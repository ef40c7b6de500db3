"""Models of ingestion: connections, sources, tables, positions, batches and the ledger."""

from ingestion.models.backfill import Backfill, BackfillChunk, BackfillState
from ingestion.models.backfill_run import BackfillRun
from ingestion.models.batch import Batch, BatchState
from ingestion.models.caution import Caution
from ingestion.models.connection import Connection, ConnectionKind, SaslMechanism
from ingestion.models.history import SourceMinute
from ingestion.models.ledger import FoldedBatches, Gap, GapReason, Reset
from ingestion.models.partition import StreamPartition
from ingestion.models.quarantine_run import (
    QuarantineAction,
    QuarantineChunk,
    QuarantineDeparture,
    QuarantineRun,
)
from ingestion.models.run import RunState
from ingestion.models.source import Source, SourceStart
from ingestion.models.spool import EventsReceipt, SpooledEvents
from ingestion.models.table import Column, Table, TableVersion, UnknownFieldRule
from ingestion.models.unknown_fields import UnknownFields

__all__ = [
    "Backfill",
    "BackfillChunk",
    "BackfillRun",
    "BackfillState",
    "Batch",
    "BatchState",
    "Caution",
    "Column",
    "Connection",
    "ConnectionKind",
    "EventsReceipt",
    "FoldedBatches",
    "Gap",
    "GapReason",
    "QuarantineAction",
    "QuarantineChunk",
    "QuarantineDeparture",
    "QuarantineRun",
    "Reset",
    "RunState",
    "SaslMechanism",
    "Source",
    "SourceMinute",
    "SourceStart",
    "SpooledEvents",
    "StreamPartition",
    "Table",
    "TableVersion",
    "UnknownFieldRule",
    "UnknownFields",
]
