"""What ingestion has to do when a tenant is exported, erased from, or deleted."""

from __future__ import annotations

from ingestion.ddl import names
from ingestion.lifecycle.broker import Brokers
from ingestion.lifecycle.people import find, remarks
from ingestion.lifecycle.streams import Streams
from tenants.lifecycle import registry


def register() -> None:
    """Tell ``tenants``; called once, when the app is loaded."""
    registry.stores += [Streams(), Brokers()]
    registry.finders.append(find)
    registry.remarks.append(remarks)
    registry.notes.append(names.is_leftovers)
