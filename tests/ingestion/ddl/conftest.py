"""Tables made by statements alone, and the way into them that a worker takes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client

from ingestion.batches.batch import Intent, Origin, PendingBatch
from ingestion.connectors.chunk import chunk
from ingestion.ddl import STATEMENT_SETTINGS, ColumnSpec, TableSpec, check, create, names
from ingestion.landing import inbox as inbox_
from ingestion.landing.addresses import Address


@pytest.fixture(scope="module")
def engine(clickhouse_server: str) -> Client:
    return clickhouse_connect.get_client(dsn=clickhouse_server, autogenerate_session_id=False)


@pytest.fixture
def database(engine: Client, unique: Callable[[str], str]) -> Iterator[str]:
    name = unique("ddl")
    engine.command(f"CREATE DATABASE {name}")
    yield name
    engine.command(f"DROP DATABASE {name} SYNC")


class Inbox:
    """Makes tables, and inserts batches as a worker does."""

    def __init__(self, engine: Client, database: str) -> None:
        self.engine, self.database = engine, database
        self.columns: dict[str, tuple[ColumnSpec, ...]] = {}

    def make(self, spec: TableSpec) -> TableSpec:
        check(spec)
        for statement in create(spec):
            self.engine.command(statement, settings=STATEMENT_SETTINGS)
        self.columns[spec.name] = spec.columns
        return spec

    def insert(
        self,
        table: str,
        messages: list[bytes],
        token: uuid.UUID | None = None,
        version: int = 1,
        metadata: list[bytes] | None = None,
    ) -> uuid.UUID:
        places = (names.inbox("", version), "", "__quarantine", "__leftovers")
        places_of = (f"{self.database}.{table}{one}" for one in places)
        count, token = len(messages), token or uuid.uuid4()
        rows = chunk(0, list(range(count)), [0] * count, messages, metadata=metadata).rows
        intent = Intent(Origin(1, 0), token, 0, count, count, 1, 1)
        batch = PendingBatch(intent, pa.Table.from_batches([rows]))
        inbox_.insert(Address(*places_of, columns=self.columns[table]), batch)
        return token

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.engine.query(sql).result_rows]

    def count(self, table: str) -> int:
        return int(self.rows(f"SELECT count() FROM {self.database}.{table}")[0][0])


@pytest.fixture
def inbox(engine: Client, database: str) -> Inbox:
    return Inbox(engine, database)
