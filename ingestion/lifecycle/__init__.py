"""Ingestion's part in exporting a tenant, erasing a person's rows, and deleting a tenant."""

from __future__ import annotations

from ingestion.ddl import names
from ingestion.lifecycle.broker import Brokers
from ingestion.lifecycle.people import find, remarks
from ingestion.lifecycle.streams import Streams
from ingestion.lifecycle.upload_folder import Uploads
from tenants.lifecycle import registry


def register() -> None:
    """Register with ``tenants``, which may not import ingestion. Called when the app loads."""
    registry.stores += [Streams(), Uploads(), Brokers()]
    registry.finders.append(find)
    registry.remarks.append(remarks)
    registry.notes.append(names.is_leftovers)
